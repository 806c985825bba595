"""What an image tells of its regions: features for rescoring, and rescoring by them.

All scores of a region with 1,000 probabilities of its image are the features of DeepID-Net (Ouyang et al., arXiv
1412.5661); a class's score and box with each class's best score in the image those of Felzenszwalb et al. ("Object
Detection with Discriminatively Trained Part-Based Models", PAMI 2010, section 7.3).

Differs from the latter: there an SVM with a quadratic kernel makes products of all features, the classes' scores
among them, which are too many for 200 classes. Here the rescoring is linear, and the products are those of the
box's coordinates alone, which give sizes and areas. A region's own score comes as it is, not through the sigmoid,
which would make all good scores alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.config import EngineSettings, OfImage, OfRegion, Section, parse_config
from detector.errors import DataError
from detector.inference.engine import CropEngine, ImageScorer
from detector.inference.held_image import Regions
from detector.networks.context_maps import LinearRescoring, load_context, same_scores
from detector.networks.heads import Probabilities
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.weights import load_model
from detector.records import Array, ClassScores, Float32

LEAST_PROB = 1e-6  # nearer to 0 or 1 probabilities in f32 tell nothing
SLOPE = 2.0  # of the sigmoid through which an image's best scores go
BOX_TERMS = np.triu_indices(4)  # pairs of coordinates whose products are features
BOX_FEATURES = 1 + 4 + len(BOX_TERMS[0])
IMAGES_AHEAD = 8  # a batch of whole images, which are held until their regions are scored
RESCORING, CLASSES = "rescoring", "classes"  # the maps in a file


@dataclass(frozen=True, eq=False)
class ContextFeatures:
    """Features of an image (K,) and its regions, own (N, D), or (N, C, D) where each class has its own."""

    own: Float32
    image: Float32


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network makes of a whole image: features (F,) f32 and probabilities (P,) f32 of its own classes."""

    features: Float32
    probs: Float32


@dataclass(frozen=True, eq=False)
class Features:
    """Which features a rescoring has: of regions, and of their image in this order.

    `by_svm`: scores are SVMs', not probabilities. `classes`: from an image's features to its classes' log-odds.
    """

    region: OfRegion
    image: tuple[OfImage, ...]
    by_svm: bool
    classes: LinearRescoring | None = None

    def of(self, scores: ClassScores, seen: Seen, height: int, width: int) -> ContextFeatures:
        """The features of an image of that size and of its regions."""
        best = self.raised(scores.scores).max(axis=0, initial=-np.inf)
        return ContextFeatures(self.of_regions(scores, height, width), self.of_image(best, seen))

    def of_regions(self, scores: ClassScores, height: int, width: int) -> Float32:
        """The features of regions, (N, D), or (N, C, D) where each class has its own."""
        raised = self.raised(scores.scores)
        return raised if self.region == "scores" else box_features(raised, scores.boxes, height, width)

    def raised(self, scores: Float32) -> Float32:
        """Scores of any shape on a scale without ends: log-odds, or an SVM's as they are."""
        return scores if self.by_svm else log_odds(scores)

    def of_image(self, best: Float32, seen: Seen) -> Float32:
        """The features (K,) of an image whose classes' best scores are (C,)."""
        return np.concatenate([self._part(name, best, seen) for name in self.image])

    def unchanged(self, classes: int, of_image: int) -> LinearRescoring:
        """The rescoring that leaves scores as they are; `of_image` are the image's features."""
        if self.region == "scores":
            return same_scores(range(classes), classes, of_image)
        return same_scores([0] * classes, BOX_FEATURES, of_image)

    def _part(self, name: OfImage, best: Float32, seen: Seen) -> Float32:
        match name:
            case "best":
                return squashed(best)
            case "imagenet":
                return log_odds(seen.probs)
            case "global":
                return seen.features
            case "classes":
                if self.classes is None:
                    raise ValueError("classes of images must be learned first")
                return rescore(self.classes, ContextFeatures(np.empty((1, 0), np.float32), seen.features))[0]


class ContextFacts(Section):
    """What a file of a rescoring states: its features, and of which scores and classes it was learned."""

    region: OfRegion
    image: tuple[OfImage, ...]
    by_svm: bool
    scores: str = ""
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Context:
    """A learned rescoring and the features that it is of.

    `after_nms`: detections are chosen by the scores as they were, and then rescored.
    """

    features: Features
    rescoring: LinearRescoring
    after_nms: bool = False

    @staticmethod
    def load(path: Path, after_nms: bool = False) -> "Context":
        """What was written by `save_context` with the features as its facts; DataError for another file."""
        parts, stated = load_context(path)
        facts = read_facts(stated, path)
        if parts.keys() != {RESCORING, *({CLASSES} & set(facts.image))}:
            raise DataError(f"context must hold the maps that its features need, got {', '.join(parts)} ({path})")
        features = Features(facts.region, facts.image, facts.by_svm, parts.get(CLASSES))
        classes, got = parts[RESCORING].own.shape
        wanted = classes if facts.region == "scores" else BOX_FEATURES
        if got != wanted:
            raise DataError(f"context must be of {wanted} numbers of a region, got {got} ({path})")
        return Context(features, parts[RESCORING], after_nms)

    def check(self, width: int, outputs: int, path: Path) -> None:
        """Raise DataError where a network of `width` features and `outputs` tells other things of an image."""
        classes, got = self.rescoring.image.shape
        sizes = {"best": classes, "imagenet": outputs, "global": width, "classes": classes}
        wanted = sum(sizes[name] for name in self.features.image)
        if got != wanted:
            raise DataError(f"context must be of the {wanted} numbers that its network tells, got {got} ({path})")
        learned = self.features.classes
        if learned is not None and learned.image.shape != (classes, width):
            shape = tuple(learned.image.shape)
            raise DataError(f"weights of classes.image must have shape {(classes, width)}, got {shape} ({path})")

    def apply(self, scores: ClassScores, seen: Seen, height: int, width: int) -> ClassScores:
        """The scores anew, as probabilities, in an image of that size; or beside the old ones, `after_nms`."""
        found = sigmoid(rescore(self.rescoring, self.features.of(scores, seen, height, width)))
        return (
            ClassScores(scores.boxes, scores.scores, found) if self.after_nms else ClassScores(scores.boxes, found)
        )


def read_facts(stated: Mapping[str, Any], path: Path) -> ContextFacts:
    """The facts that the file of a rescoring states; ConfigError names the wrong one."""
    known = {name: stated[name] for name in ContextFacts.model_fields if name in stated}
    return parse_config(ContextFacts, known, str(path))


class WholeImages:
    """What the network of a weight file makes of whole images."""

    def __init__(self, path: Path, settings: EngineSettings) -> None:
        network, preprocessing, metadata = load_model(path)
        region = ModelFacts.of(metadata, path).region.model_copy(update={"padding": 0})
        few = settings.in_floats.model_copy(update={"batch_size": IMAGES_AHEAD})
        self.width, self.outputs = network.width, network.classifier.out_features
        self.engine = CropEngine(Probabilities(network), preprocessing, region, few)

    def see(self, images: Regions) -> Iterator[Seen]:
        """What is made of each of the images; their boxes do not matter."""
        whole = ((image, np.array([[0, 0, *image.shape[1::-1]]], np.float32)) for image, _ in images)
        for _, found in self.engine.run(whole):
            yield Seen(found["features"][0], found["probs"][0])


class ContextScorer:
    """Scores regions by `scorer`, then rescored by their images."""

    def __init__(self, scorer: ImageScorer, images: WholeImages, context: Context) -> None:
        self.scorer = scorer
        self.images = images
        self.context = context

    def score(self, images: Regions) -> Iterator[ClassScores]:
        """As `ImageScorer` says."""
        sized, seen, scored = tee(images, 3)
        for (image, _), whole, scores in zip(sized, self.images.see(seen), self.scorer.score(scored), strict=True):
            yield self.context.apply(scores, whole, image.shape[0], image.shape[1])


def context_facts(features: Features) -> dict[str, Any]:
    """What `Context.load` needs to know of the features, as JSON values."""
    return {"region": features.region, "image": list(features.image), "by_svm": features.by_svm}


def log_odds(probs: Array) -> Float32:
    """log(p / (1 - p)) of probabilities of any shape, which are kept `LEAST_PROB` away from 0 and 1."""
    p = np.clip(probs.astype(np.float64), LEAST_PROB, 1 - LEAST_PROB)
    return np.log(p / (1 - p)).astype(np.float32)


def squashed(best: Float32) -> Float32:
    """1 / (1 + exp(-2 score)), of scores of any shape."""
    return sigmoid(SLOPE * best)


def sigmoid(scores: Float32) -> Float32:
    """1 / (1 + exp(-score)), of scores of any shape and size."""
    return torch.from_numpy(scores).sigmoid().numpy()


def box_features(scores: Float32, boxes: Float32, height: int, width: int) -> Float32:
    """For each class its score and 14 terms of its box, (N, C, 15).

    scores (N, C) are log-odds or an SVM's, boxes (N, C, 4). After the score come x1, y1, x2, y2 as shares of the
    image's sides, then the ten products of two of these, squares included.
    """
    shares = boxes / np.array([width, height, width, height], np.float32)
    first, second = BOX_TERMS
    return np.concatenate([scores[..., None], shares, shares[..., first] * shares[..., second]], axis=-1)


@torch.inference_mode()
def rescore(rescoring: LinearRescoring, features: ContextFeatures) -> Float32:
    """New log-odds (N, C) of an image's regions."""
    return rescoring(torch.from_numpy(features.own), torch.from_numpy(features.image)).numpy()
