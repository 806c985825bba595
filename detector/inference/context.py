"""What an image tells of its regions: features for rescoring, and rescoring by them.

`score_context` are the features of DeepID-Net (Ouyang et al., arXiv 1412.5661), `classic_context` those of
Felzenszwalb et al. ("Object Detection with Discriminatively Trained Part-Based Models", PAMI 2010, section 7.3).

Differs from the latter: there an SVM with a quadratic kernel makes products of all features, the classes' scores
among them, which are too many for 200 classes. Here the rescoring is linear, and the products are those of the
box's coordinates alone, which give sizes and areas. A region's own score comes as it is, not through the sigmoid,
which would make all good scores alike.
"""

from dataclasses import dataclass

import numpy as np
import torch

from detector.networks.rescoring import LinearRescoring
from detector.records import Array, Float32

LEAST_PROB = 1e-6  # nearer to 0 or 1 probabilities in f32 tell nothing
SLOPE = 2.0  # of the sigmoid through which an image's best scores go
BOX_TERMS = np.triu_indices(4)  # pairs of coordinates whose products are features


@dataclass(frozen=True, eq=False)
class ContextFeatures:
    """Features of an image (K,) and its regions, own (N, D), or (N, C, D) where each class has its own."""

    own: Float32
    image: Float32


def log_odds(probs: Array) -> Float32:
    """log(p / (1 - p)) of probabilities of any shape, which are kept `LEAST_PROB` away from 0 and 1."""
    p = np.clip(probs.astype(np.float64), LEAST_PROB, 1 - LEAST_PROB)
    return np.log(p / (1 - p)).astype(np.float32)


def score_context(scores: Float32, image_probs: Float32) -> ContextFeatures:
    """All of a region's scores (N, S), log-odds or an SVM's, beside the log-odds of image_probs (K,)."""
    return ContextFeatures(scores, log_odds(image_probs))


def classic_context(scores: Float32, boxes: Float32, height: int, width: int) -> ContextFeatures:
    """For each class its score and 14 terms of its box; of the image each class's best score.

    scores (N, C) are log-odds or an SVM's, boxes (N, C, 4). own (N, C, 15): the score; x1, y1, x2, y2 as shares of
    the image's sides; the ten products of two of these, squares included. image (C,): 1 / (1 + exp(-2 best)).
    """
    shares = boxes / np.array([width, height, width, height], np.float32)
    first, second = BOX_TERMS
    own = np.concatenate([scores[..., None], shares, shares[..., first] * shares[..., second]], axis=-1)
    best = scores.max(axis=0, initial=-np.inf)
    return ContextFeatures(own, 1 / (1 + np.exp(-SLOPE * best)))


@torch.inference_mode()
def rescore(rescoring: LinearRescoring, features: ContextFeatures) -> Float32:
    """New log-odds (N, C) of an image's regions."""
    return rescoring(torch.from_numpy(features.own), torch.from_numpy(features.image)).numpy()
