"""Several models on the same regions of the same images, their scores averaged (arXiv 1409.4842, section 8).

Each image goes to the device once, and regions are warped once for all models that take the same crops. Models
whose networks have the same trunk share its maps.
"""

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee

import numpy as np

from detector.config import EngineSettings, RegionSettings
from detector.errors import DataError
from detector.inference.engine import CropEngine, make_engine
from detector.inference.held_image import Regions, hold
from detector.inference.score import refine, unrefined
from detector.inference.shared_engine import SharedEngine
from detector.networks.member import Ensemble, Member
from detector.networks.warp import Preprocessing
from detector.records import Array, ClassScores, Float32, Float64, Int64


@dataclass(frozen=True)
class Model:
    """A member of an ensemble, the crops that it takes, and its weight in the average."""

    member: Member
    preprocessing: Preprocessing
    region: RegionSettings
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Views:
    """What K models say of an image's regions (N, 4): scores (N, K, C) f32, and moves (N, M, C, 4) f32.

    `moving` (M,) i64 are the models that have box regressors.
    """

    boxes: Float32
    scores: Float32
    moves: Float32
    moving: Int64


@dataclass(frozen=True, eq=False)
class Averages:
    """Of an image's regions (N, 4): scores (N, C) f32, and moves (N, C, 4) f32, None where no model has them."""

    boxes: Float32
    scores: Float32
    moves: Float32 | None


class EnsembleEngine:
    """Scores regions by all `models`; they must have the same classes and the same kind of scores."""

    def __init__(self, models: Sequence[Model], settings: EngineSettings) -> None:
        if len({model.member.svm is None for model in models}) != 1:
            raise DataError("models of an ensemble must all score by SVMs or all by softmax, got some of each")
        self.weights = np.array([model.weight for model in models], np.float64)
        self.moving = np.array([k for k, model in enumerate(models) if model.member.boxes is not None], np.int64)
        self.classes = models[0].member.network.classifier.out_features - 1
        self.groups = _groups(models)
        self.engines = [_engine([models[k] for k in group], settings) for group in self.groups]

    def score(self, images: Regions) -> Iterator[ClassScores]:
        """The scores and boxes by the weighted averages, for (image (H, W, 3) uint8 RGB, boxes (N, 4)) pairs."""
        sizes: deque[tuple[int, int]] = deque()

        def noted() -> Regions:
            for image, boxes in images:
                sizes.append((image.shape[0], image.shape[1]))
                yield image, boxes

        for views in self.views(noted()):
            yield class_scores(average(views, self.weights), *sizes.popleft())

    def views(self, images: Regions) -> Iterator[Views]:
        """What each model says, in the order of the models."""
        held = ((hold(image), boxes) for image, boxes in images)
        runs = [engine.run(copy) for engine, copy in zip(self.engines, tee(held, len(self.engines)), strict=True)]
        for answers in zip(*runs, strict=True):
            yield self._gather(answers[0][0], [found for _, found in answers])

    def _gather(self, boxes: Float32, found: Sequence[dict[str, Array]]) -> Views:
        """The answers of all groups in the order of the models."""
        scores = np.empty((len(boxes), len(self.weights), self.classes), np.float32)
        moves = np.empty((len(boxes), len(self.moving), self.classes, 4), np.float32)
        if len(boxes):
            for group, answers in zip(self.groups, found, strict=True):
                scores[:, group] = answers["scores"]
                rows = np.flatnonzero(np.isin(self.moving, group))
                if len(rows):
                    moves[:, rows] = answers["moves"]
        return Views(boxes, scores, moves, self.moving)


def _groups(models: Sequence[Model]) -> list[list[int]]:
    """Which models can be given the same: crops of a kind, or one network's maps, mirrored or not."""
    groups: dict[Hashable, list[int]] = {}
    for k, model in enumerate(models):
        network = model.member.network
        maps = (id(network), model.member.mirrored) if model.region.mode == "shared" else None
        groups.setdefault((model.preprocessing, model.region, maps), []).append(k)
    return list(groups.values())


def _engine(models: Sequence[Model], settings: EngineSettings) -> CropEngine | SharedEngine:
    """The engine of a group."""
    first = models[0]
    members = Ensemble([model.member for model in models])
    return make_engine(members, first.preprocessing, first.region, settings, first.member.mirrored)


def average(views: Views, weights: Float64) -> Averages:
    """The averages over the models by their weights (K,), of which some may be 0.

    Taken in float64, so that a model that is listed n times is that model.
    """
    moving = weights[views.moving]
    moves = _mean(views.moves, moving) if moving.any() else None
    return Averages(views.boxes, _mean(views.scores, weights), moves)


def class_scores(found: Averages, height: int, width: int) -> ClassScores:
    """The scores and boxes that averages stand for, in an image of that size."""
    if found.moves is None:
        return unrefined(found.boxes, found.scores)
    return ClassScores(refine(found.boxes, found.moves, height, width), found.scores)


def _mean(answers: Float32, weights: Float64) -> Float32:
    """The weighted mean (N, ...) of answers (N, K, ...)."""
    total = np.tensordot(weights, answers.astype(np.float64), axes=(0, 1))
    return (total / weights.sum()).astype(np.float32)
