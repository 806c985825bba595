"""Where the class scores of a split's regions come from: the images, or stored features."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from detector.config import Config, EnsembleSettings
from detector.data.dataset import Dataset
from detector.errors import ConfigError, DataError
from detector.files import file_hash
from detector.inference.models import ModelFiles, open_scorer, trained_classes, trained_region
from detector.inference.score import FeatureScorer, refine, unrefined
from detector.records import ClassScores
from detector.runs.store import Store, read_proposals
from detector.stages.region_sets import ProposedRegions, load_regions

ALONE = EnsembleSettings()  # one model's one view

Scores = Callable[[range], Iterator[ClassScores]]


class ScoreSource(Protocol):
    """Scores of every region of a split."""

    def inputs(self) -> dict[str, Any]:
        """What they depend on beside the regions, as JSON values."""

    def open(self, config: Config, dataset: Dataset, proposals: Store, workers: int) -> Scores:
        """The function that gives the scores of the images at a range of positions."""


@dataclass(frozen=True)
class FromImages:
    """What detectors say of images decoded ahead, averaged, each with all views that the settings ask for."""

    detectors: Sequence[ModelFiles]
    settings: EnsembleSettings = ALONE

    def inputs(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        settings = self.settings.model_dump(mode="json", exclude={"runs", "members"})
        return {"files": [file_hashes(detector) for detector in self.detectors], "ensemble": settings}

    def open(self, config: Config, dataset: Dataset, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        for detector in self.detectors:
            check_classes(dataset, detector.network)
        scorer = open_scorer(self.detectors, self.settings, config)
        boxes = ProposedRegions(proposals).boxes
        return lambda positions: scorer.score(load_regions(config, dataset, boxes, positions, workers))


@dataclass(frozen=True)
class FromFeatures:
    """What the heads on stored features say, by one of the ways to score."""

    detector: ModelFiles
    features: Store
    method: str

    def inputs(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        return {"files": file_hashes(self.detector), "features": self.features.key}

    def open(self, config: Config, dataset: Dataset, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        check_classes(dataset, self.detector.network)
        used = self.detector.by(self.method)
        scorer = FeatureScorer.svm(used.svm) if used.svm else FeatureScorer.softmax(used.network)

        def score(position: int) -> ClassScores:
            boxes = np.array(read_proposals(proposals, position).boxes)
            found = self.features.read(position)
            scores = scorer.scores(found["features"].astype(np.float32))
            if used.boxes is None:
                return unrefined(boxes, scores)
            height, width = dataset.sizes[position].tolist()
            return ClassScores(refine(boxes, found["moves"].astype(np.float32), height, width), scores)

        return lambda positions: map(score, positions)


def file_hashes(detector: ModelFiles) -> dict[str, str]:
    """What the detections of a detector depend on."""
    files = {"network": detector.network, "svm": detector.svm, "boxes": detector.boxes}
    return {name: file_hash(path) for name, path in files.items() if path}


def check_classes(dataset: Dataset, model_path: Path) -> None:
    """Raise DataError where a label would mean another class than in training."""
    trained = trained_classes(model_path)
    names = list(dataset.classes.names)
    if names != trained:
        at = next((i for i, pair in enumerate(zip(names, trained, strict=False)) if len(set(pair)) > 1), 0)
        raise DataError(
            f"classes of {dataset.name} must be those of the model in their order, got {len(names)} classes for "
            f"{len(trained)}, and {names[at]!r} for {trained[at]!r} ({model_path})"
        )


def check_region(config: Config, model_path: Path) -> None:
    """Raise ConfigError where regions are asked for that the network was not trained on."""
    trained = trained_region(model_path)
    for name, wanted in trained:
        if getattr(config.region, name) != wanted:
            raise ConfigError(
                f"region.{name} must be what the network was trained on, {wanted}, got "
                f"{getattr(config.region, name)} ({model_path})"
            )
