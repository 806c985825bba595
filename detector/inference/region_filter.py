"""Fewer regions: a cheap classifier looks at all of an image, and the best alone go on to the detector.

It is a region classifier of one class, any object, that sees small crops.
"""

from collections.abc import Iterator
from itertools import tee
from pathlib import Path

import numpy as np

from detector.config import EngineSettings, EnsembleSettings
from detector.errors import DataError
from detector.inference.engine import ImageScorer, Regions
from detector.inference.ensemble import EnsembleEngine
from detector.inference.models import ModelFiles, load_models
from detector.records import ClassScores, Float32, Proposals


class RegionFilter:
    """The best `keep` regions of images, by the classifier in a file that a run's stage `cascade` wrote."""

    def __init__(self, path: Path, keep: int, settings: EngineSettings) -> None:
        models = [model for _, model in load_models([ModelFiles(path)], EnsembleSettings())]
        classes = models[0].member.network.classifier.out_features - 1
        if classes != 1:
            raise DataError(f"cascade must know one class, any object, got {classes} ({path})")
        self.engine = EnsembleEngine(models, settings.in_floats)
        self.keep = keep

    def choose(self, images: Regions) -> Iterator[Proposals]:
        """The regions kept of each image, best first, with their probabilities to be an object."""
        for found in self.rank(images):
            yield Proposals(found.boxes[: self.keep], found.scores[: self.keep])

    def rank(self, images: Regions) -> Iterator[Proposals]:
        """All regions of each image, best first, with their probabilities to be an object."""
        for found in self.engine.score(images):
            yield best_regions(found.boxes[:, 0], found.scores[:, 0], len(found.scores))


class CascadeScorer:
    """Scores by `scorer` those regions of images that a filter keeps."""

    def __init__(self, regions: RegionFilter, scorer: ImageScorer) -> None:
        self.regions = regions
        self.scorer = scorer

    def score(self, images: Regions) -> Iterator[ClassScores]:
        """As `ImageScorer` says."""
        given, judged = tee(images)
        chosen = zip(given, self.regions.choose(judged), strict=True)
        return self.scorer.score((image, kept.boxes) for (image, _), kept in chosen)


def best_regions(boxes: Float32, scores: Float32, keep: int) -> Proposals:
    """The `keep` regions of boxes (N, 4) of the highest scores (N,), best first, equals in their order."""
    order = np.argsort(-scores, kind="stable")[:keep]
    return Proposals(boxes[order], scores[order])
