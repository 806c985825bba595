"""From the features of regions to each class's scores and boxes."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from detector.boxes import clip_boxes, decode_boxes
from detector.networks.heads import load_svm
from detector.networks.weight_files.weights import load_model
from detector.records import FIRST_LABEL, ClassScores, Float32


class FeatureScorer:
    """Scores features (N, F) by a linear map, then a softmax without its background, or as they are."""

    def __init__(self, linear: nn.Module, is_softmax: bool) -> None:
        self.linear = linear
        self.is_softmax = is_softmax

    @staticmethod
    def softmax(model_path: Path) -> "FeatureScorer":
        """The region classifier's own probabilities."""
        return FeatureScorer(load_model(model_path)[0].classifier, is_softmax=True)

    @staticmethod
    def svm(path: Path) -> "FeatureScorer":
        """The SVMs' scores."""
        return FeatureScorer(load_svm(path), is_softmax=False)

    @torch.inference_mode()
    def scores(self, features: Float32) -> Float32:
        """Scores (N, C) of features (N, F)."""
        found = self.linear(torch.from_numpy(features))
        found = found.softmax(1)[:, FIRST_LABEL:] if self.is_softmax else found
        return np.ascontiguousarray(found.numpy())


def refine(boxes: Float32, offsets: Float32, height: int, width: int) -> Float32:
    """Each class's boxes (N, C, 4): regions (N, 4) moved by offsets (N, C, 4) and clipped to the image."""
    moved = decode_boxes(boxes, offsets)
    return clip_boxes(moved.reshape(-1, 4), height, width).reshape(moved.shape).astype(np.float32)


def unrefined(boxes: Float32, scores: Float32) -> ClassScores:
    """The scores (N, C) of the classes, each at the regions (N, 4) themselves."""
    return ClassScores(np.broadcast_to(boxes[:, None], (*scores.shape, 4)), scores)
