"""Several models on the same regions of the same images, their scores averaged (arXiv 1409.4842, section 8).

Each image goes to the device once, and regions are warped once for all models that take the same crops.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import tee

import numpy as np
import torch

from detector.config import EngineSettings, RegionSettings
from detector.errors import DataError
from detector.inference.engine import CropEngine, Regions
from detector.networks.ensemble import Ensemble, Member
from detector.networks.warp import Preprocessing
from detector.records import Array, Float32


@dataclass(frozen=True)
class Model:
    """A member of an ensemble, the crops that it takes, and its weight in the average."""

    member: Member
    preprocessing: Preprocessing
    region: RegionSettings
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Averages:
    """Of an image's regions (N, 4): scores (N, C) f32, and moves (N, C, 4) f32, None where no model has them."""

    boxes: Float32
    scores: Float32
    moves: Float32 | None


class EnsembleEngine:
    """Scores regions by all `models`; they must have the same classes and the same kind of scores.

    Averages are taken in float64, so that a model that is listed n times is that model.
    """

    def __init__(self, models: Sequence[Model], settings: EngineSettings) -> None:
        if len({model.member.svm is None for model in models}) != 1:
            raise DataError("models of an ensemble must all score by SVMs or all by softmax, got some of each")
        crops: dict[tuple[Preprocessing, RegionSettings], list[Model]] = {}
        for model in models:
            crops.setdefault((model.preprocessing, model.region), []).append(model)
        self.classes = models[0].member.network.classifier.out_features - 1
        self.groups = list(crops.values())
        self.engines = [
            CropEngine(Ensemble([model.member for model in group]), *key, settings) for key, group in crops.items()
        ]

    def run(self, images: Regions) -> Iterator[Averages]:
        """The averages for (image (H, W, 3) uint8 RGB, boxes (N, 4)) pairs, in their order."""
        device = self.engines[0].runner.device
        placed = ((torch.as_tensor(image).to(device), boxes) for image, boxes in images)
        runs = [
            engine.run(copy) for engine, copy in zip(self.engines, tee(placed, len(self.engines)), strict=True)
        ]
        for answers in zip(*runs, strict=True):
            yield self._average(answers[0][0], [found for _, found in answers])

    def _average(self, boxes: Float32, found: Sequence[dict[str, Array]]) -> Averages:
        if not len(boxes):
            none = np.empty((0, self.classes), np.float32)
            return Averages(boxes, none, np.empty((0, self.classes, 4), np.float32) if self._moves() else None)
        weights = [[model.weight for model in group] for group in self.groups]
        moving = [[model.weight for model in group if model.member.boxes is not None] for group in self.groups]
        scores = _mean([answers["scores"] for answers in found], weights)
        moves = _mean([answers["moves"] for answers in found if "moves" in answers], [w for w in moving if w])
        return Averages(boxes, scores, moves if self._moves() else None)

    def _moves(self) -> bool:
        return any(model.member.boxes is not None for group in self.groups for model in group)


def _mean(answers: Sequence[Array], weights: Sequence[Sequence[float]]) -> Float32:
    """The weighted mean (N, ...) of answers (N, K, ...) over all models of all groups."""
    total = sum(sum(group) for group in weights)
    parts = [
        np.tensordot(np.array(group, np.float64), each.astype(np.float64), axes=(0, 1))
        for each, group in zip(answers, weights, strict=True)
    ]
    return (np.sum(parts, axis=0) / total).astype(np.float32) if parts else np.empty(0, np.float32)
