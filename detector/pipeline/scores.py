"""Where the class scores of a split's regions come from: a network, stored features, or several models."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from detector.config import Config, RegionSettings
from detector.data.dataset import Dataset
from detector.data.stores import Store, read_proposals
from detector.errors import DataError
from detector.inference.engine import RegionEngine
from detector.inference.ensemble import EnsembleEngine, Model
from detector.inference.score import FeatureScorer, refine, unrefined
from detector.networks.ensemble import Member
from detector.networks.region_heads import load_boxes, load_svm
from detector.networks.weights import load_model
from detector.pipeline.regions import ProposedRegions, load_regions
from detector.pipeline.run import file_hash
from detector.records import FIRST_LABEL, ClassScores

Scores = Callable[[range], Iterator[ClassScores]]


@dataclass(frozen=True)
class Detector:
    """The files of a trained detector: the network, and the heads on its features where there are any."""

    network: Path
    svm: Path | None = None
    boxes: Path | None = None

    def hashes(self) -> dict[str, str]:
        """What the detections depend on."""
        files = {"network": self.network, "svm": self.svm, "boxes": self.boxes}
        return {name: file_hash(path) for name, path in files.items() if path}

    def by(self, method: str) -> "Detector":
        """The part that scores by `method`."""
        svm = self.svm if method.startswith("svm") else None
        return Detector(self.network, svm, self.boxes if method.endswith("+boxes") else None)


class ScoreSource(Protocol):
    """Scores of every region of a split."""

    def inputs(self) -> dict[str, Any]:
        """What they depend on beside the regions, as JSON values."""

    def open(self, config: Config, dataset: Dataset, proposals: Store, workers: int) -> Scores:
        """The function that gives the scores of the images at a range of positions."""


@dataclass(frozen=True)
class FromNetwork:
    """The network's probabilities, of images decoded ahead."""

    detector: Detector

    def inputs(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        return {"files": self.detector.hashes()}

    def open(self, config: Config, dataset: Dataset, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        check_classes(dataset, self.detector.network)
        network, preprocessing, _ = load_model(self.detector.network)
        engine = RegionEngine(network, preprocessing, config.region, config.engine)
        boxes = ProposedRegions(proposals).boxes

        def scores(positions: range) -> Iterator[ClassScores]:
            for found in engine.score(load_regions(config, dataset, boxes, positions, workers)):
                yield unrefined(found.boxes, np.ascontiguousarray(found.probs[:, FIRST_LABEL:]))

        return scores


@dataclass(frozen=True)
class FromFeatures:
    """What the heads on stored features say, by one of the ways to score."""

    detector: Detector
    features: Store
    method: str

    def inputs(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        return {"files": self.detector.hashes(), "features": self.features.key}

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


@dataclass(frozen=True)
class FromEnsemble:
    """The averages of several detectors, each with all views that the settings ask for."""

    detectors: Sequence[Detector]
    config: Config

    def inputs(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        settings = self.config.ensemble.model_dump(mode="json", exclude={"runs", "members"})
        return {"files": [detector.hashes() for detector in self.detectors], "ensemble": settings}

    def open(self, config: Config, dataset: Dataset, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        engine = EnsembleEngine(self._models(dataset), config.engine)
        boxes = ProposedRegions(proposals).boxes

        def scores(positions: range) -> Iterator[ClassScores]:
            images = load_regions(config, dataset, boxes, positions, workers)
            for position, found in zip(positions, engine.run(images), strict=True):
                if found.moves is None:
                    yield unrefined(found.boxes, found.scores)
                else:
                    height, width = dataset.sizes[position].tolist()
                    yield ClassScores(refine(found.boxes, found.moves, height, width), found.scores)

        return scores

    def _models(self, dataset: Dataset) -> list[Model]:
        settings = self.config.ensemble
        weights = settings.weights or (1.0,) * len(self.detectors)
        if len(weights) != len(self.detectors):
            count = len(self.detectors)
            raise DataError(f"ensemble.weights must be one a model, {count} of them, got {len(weights)}")
        models: list[Model] = []
        for detector, weight in zip(self.detectors, weights, strict=True):
            check_classes(dataset, detector.network)
            models += self._views(detector, weight)
        return models

    def _views(self, detector: Detector, weight: float) -> list[Model]:
        """A detector with each padding, plain and mirrored; together they weigh `weight`."""
        network, preprocessing, metadata = load_model(detector.network)
        svm = load_svm(detector.svm) if detector.svm else None
        boxes = load_boxes(detector.boxes) if detector.boxes else None
        region = RegionSettings(**metadata.get("region", self.config.region.model_dump()))
        regions = [region, *(_padded(region, padding) for padding in self.config.ensemble.paddings)]
        sides = (False, True) if self.config.ensemble.mirror else (False,)
        share = weight / (len(regions) * len(sides))
        return [
            Model(Member(network, svm, boxes if each == region else None, side), preprocessing, each, share)
            for each in regions
            for side in sides
        ]


def _padded(region: RegionSettings, padding: int) -> RegionSettings:
    return RegionSettings(crop_size=region.crop_size, padding=padding)


def check_classes(dataset: Dataset, model_path: Path) -> None:
    """Raise DataError where a label would mean another class than in training."""
    trained = load_model(model_path)[2]["classes"]
    names = list(dataset.classes.names)
    if names != trained:
        at = next((i for i, pair in enumerate(zip(names, trained, strict=False)) if len(set(pair)) > 1), 0)
        raise DataError(
            f"classes of {dataset.name} must be those of the model in their order, got {len(names)} classes for "
            f"{len(trained)}, and {names[at]!r} for {trained[at]!r} ({model_path})"
        )
