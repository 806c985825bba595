"""Sources of the class scores of a split's regions: networks, stored features, stored scores, a rescoring."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from detector.config import DetectSettings, EngineSettings, EnsembleSettings, Method, RegionSettings
from detector.data.dataset import Dataset
from detector.errors import ConfigError, DataError
from detector.inference.image_context import Context
from detector.inference.models import ModelFiles, open_scorer, trained_classes, trained_region
from detector.inference.score import FeatureScorer, refine, unrefined
from detector.records import ClassScores
from detector.runs.journal import Entry, Fields
from detector.runs.split import Split
from detector.runs.stage import Stage
from detector.runs.store import Store, read_proposals
from detector.runs.stored_result import Make, run_stored
from detector.stages.image_features import read_image_features
from detector.stages.region_rows import FLOAT, counts, engine_name
from detector.stages.region_sets import ProposedRegions

VERSION = 1
ALONE = EnsembleSettings()  # one model's one view

Scores = Callable[[range], Iterator[ClassScores]]  # of the images at a range of positions


class ScoreSource(Protocol):
    """Scores of every region of a split."""

    @property
    def reads(self) -> dict[str, Any]:
        """What they depend on beside the regions."""

    @property
    def moves(self) -> bool:
        """Whether each class has boxes of its own."""

    @property
    def by_svm(self) -> bool:
        """Whether the scores are those of SVMs, which are no probabilities."""

    def open(self, split: Split, proposals: Store, workers: int) -> Scores:
        """The function that gives the scores."""


@dataclass(frozen=True)
class NetworkScores:
    """What models say of images decoded ahead, averaged, each with all views that `ensemble` asks for.

    With `detect.iterations` the boxes found are scored again.
    """

    models: Sequence[ModelFiles]
    engine: EngineSettings
    detect: DetectSettings
    ensemble: EnsembleSettings = ALONE

    @property
    def reads(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        averaged = self.ensemble.model_dump(exclude={"runs", "members"})
        again = self.detect.model_dump(exclude={"method"}) if self.detect.iterations else None
        files = [model.reads for model in self.models]
        return {"files": files, "ensemble": averaged, "engine": engine_name(self.engine), "detect": again}

    @property
    def moves(self) -> bool:
        """As `ScoreSource` says."""
        return any(model.boxes for model in self.models)

    @property
    def by_svm(self) -> bool:
        """As `ScoreSource` says."""
        return self.models[0].svm is not None

    def open(self, split: Split, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        for model in self.models:
            check_classes(split.dataset, model.network)
        scorer = open_scorer(self.models, self.ensemble, self.engine, self.detect)
        boxes = ProposedRegions(proposals).boxes
        return lambda positions: scorer.score(split.load(boxes, positions, workers))


@dataclass(frozen=True)
class FeatureScores:
    """What the heads of one model say of stored features, by one of its ways to score."""

    model: ModelFiles
    features: Store
    method: Method

    @property
    def reads(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        return {"files": self.model.by(self.method).reads, "features": self.features}

    @property
    def moves(self) -> bool:
        """As `ScoreSource` says."""
        return self.method.boxes

    @property
    def by_svm(self) -> bool:
        """As `ScoreSource` says."""
        return self.method.by_svm

    def open(self, split: Split, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        check_classes(split.dataset, self.model.network)
        used = self.model.by(self.method)
        scorer = FeatureScorer.svm(used.svm) if used.svm else FeatureScorer.softmax(used.network)

        def score(position: int) -> ClassScores:
            boxes = np.array(read_proposals(proposals, position).boxes)
            found = self.features.read(position)
            scores = scorer.scores(found["features"].astype(np.float32))
            if not self.method.boxes:
                return unrefined(boxes, scores)
            height, width = split.dataset.sizes[position].tolist()
            return ClassScores(refine(boxes, found["moves"].astype(np.float32), height, width), scores)

        return lambda positions: map(score, positions)


@dataclass(frozen=True)
class StoredScores:
    """The scores in the store that `store_scores` wrote; `moves` and `by_svm` as `ScoreSource` says."""

    store: Store
    moves: bool
    by_svm: bool

    @property
    def reads(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        return {"stored": self.store}

    def open(self, split: Split, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        return lambda positions: map(self._read, positions)

    def _read(self, position: int) -> ClassScores:
        found = self.store.read(position)
        scores, boxes = np.array(found["scores"]), np.array(found["boxes"])
        shared = boxes[:, None] if boxes.ndim == 2 else boxes
        return ClassScores(np.broadcast_to(shared, (*scores.shape, 4)), scores)


@dataclass(frozen=True)
class RescoredScores:
    """The scores of another source, rescored by the features of the images, before NMS or after it."""

    source: ScoreSource
    context: Path
    seen: Store
    after_nms: bool

    @property
    def reads(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        return {
            "source": self.source.reads,
            "context": self.context,
            "seen": self.seen,
            "after_nms": self.after_nms,
        }

    @property
    def moves(self) -> bool:
        """As `ScoreSource` says."""
        return self.source.moves

    @property
    def by_svm(self) -> bool:
        """As `ScoreSource` says."""
        return False  # rescored, they are probabilities

    def open(self, split: Split, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        scores = self.source.open(split, proposals, workers)
        context = Context.load(self.context, self.after_nms)
        width, outputs = (self.seen.field(name).shape[1] for name in ("features", "probs"))
        context.check(width, outputs, self.context)

        def rescored(positions: range) -> Iterator[ClassScores]:
            for position, found in zip(positions, scores(positions), strict=True):
                yield apply_context(context, found, self.seen, split.dataset, position)

        return rescored


def apply_context(
    context: Context, scores: ClassScores, seen: Store, dataset: Dataset, position: int
) -> ClassScores:
    """The scores of an image's regions anew, by what `seen` holds of it; without regions it holds nothing."""
    if not len(scores.scores):
        return scores
    return context.apply(scores, read_image_features(seen, position), *dataset.sizes[position].tolist())


def store_scores(
    stage: Stage, split: Split, proposals: Store, source: ScoreSource, engine: EngineSettings
) -> StoredScores:
    """Stage `scores`: what `source` says of a split's regions, where several ways to detect read it."""
    classes = len(split.dataset.classes)
    fields: Fields = {"scores": (FLOAT, (classes,)), "boxes": (FLOAT, (classes, 4) if source.moves else (4,))}

    def prepare() -> Make:
        scores = source.open(split, proposals, stage.group.workers(engine.workers))

        def make(positions: range) -> Iterator[Entry]:
            for found in scores(positions):
                yield {"scores": found.scores, "boxes": found.boxes if source.moves else found.boxes[:, 0]}

        return make

    result = stage.result(VERSION, regions=proposals, images=split.key, scores=source.reads)
    return StoredScores(run_stored(result, fields, len(split), prepare, counts), source.moves, source.by_svm)


def check_classes(dataset: Dataset, model_path: Path) -> None:
    """Raise DataError where a label would mean another class than in training."""
    trained, names = trained_classes(model_path).names, dataset.classes.names
    if names != trained:
        at = next((i for i, pair in enumerate(zip(names, trained, strict=False)) if len(set(pair)) > 1), 0)
        raise DataError(
            f"classes of {dataset.name} must be those of the model in their order, got {len(names)} classes for "
            f"{len(trained)}, and {names[at]!r} for {trained[at]!r} ({model_path})"
        )


def check_region(region: RegionSettings, model_path: Path) -> None:
    """Raise ConfigError where regions are asked for that the network was not trained on."""
    for name, wanted in trained_region(model_path):
        if getattr(region, name) != wanted:
            raise ConfigError(
                f"region.{name} must be what the network was trained on, {wanted}, got "
                f"{getattr(region, name)} ({model_path})"
            )
