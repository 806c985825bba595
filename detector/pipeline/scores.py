"""Where the class scores of a split's regions come from: a network, stored features, or several models."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from detector.config import Config, EnsembleSettings, RegionSettings
from detector.data.dataset import Dataset
from detector.data.stores import Store, read_proposals
from detector.errors import DataError
from detector.inference.engine import RegionEngine
from detector.inference.ensemble import Averages, EnsembleEngine, Model
from detector.inference.score import FeatureScorer, refine, unrefined
from detector.networks.ensemble import Member
from detector.networks.region_classifier import RegionClassifier
from detector.networks.region_heads import BoxHead, SvmHead, load_boxes, load_svm
from detector.networks.warp import Preprocessing
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
class View:
    """One way to see a region: by model `detector`, with its own context or another, mirrored or not."""

    detector: int
    is_own: bool
    mirrored: bool


@dataclass(frozen=True)
class FromEnsemble:
    """The averages of several detectors, each with all views that the settings ask for."""

    detectors: Sequence[Detector]
    settings: EnsembleSettings

    def inputs(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        settings = self.settings.model_dump(mode="json", exclude={"runs", "members"})
        return {"files": [detector.hashes() for detector in self.detectors], "ensemble": settings}

    def open(self, config: Config, dataset: Dataset, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        for detector in self.detectors:
            check_classes(dataset, detector.network)
        engine = EnsembleEngine([model for _, model in self.models()], config.engine)
        boxes = ProposedRegions(proposals).boxes

        def scores(positions: range) -> Iterator[ClassScores]:
            images = load_regions(config, dataset, boxes, positions, workers)
            for position, found in zip(positions, engine.run(images), strict=True):
                yield class_scores(found, *dataset.sizes[position].tolist())

        return scores

    def models(self) -> list[tuple[View, Model]]:
        """All views with their models: by detector, of each the paddings, of each plain and then mirrored.

        The views of a detector share its weight.
        """
        settings, count = self.settings, len(self.detectors)
        weights = settings.weights or (1.0,) * count
        check_weights(settings, count)
        sides = (False, True) if settings.mirror else (False,)
        found: list[tuple[View, Model]] = []
        for number, (detector, weight) in enumerate(zip(self.detectors, weights, strict=True)):
            loaded = _load(detector)
            wider = [RegionSettings(crop_size=loaded.region.crop_size, padding=p) for p in settings.paddings]
            regions = [loaded.region, *(region for region in wider if region != loaded.region)]
            share = weight / (len(regions) * len(sides))
            for region in regions:
                for side in sides:
                    view = View(number, region == loaded.region, side)
                    found.append((view, loaded.model(region, side, share)))
        return found


@dataclass(frozen=True)
class _Loaded:
    """A detector's network and heads, and the regions that it was trained on."""

    network: RegionClassifier
    preprocessing: Preprocessing
    region: RegionSettings
    svm: SvmHead | None
    boxes: BoxHead | None

    def model(self, region: RegionSettings, mirrored: bool, weight: float) -> Model:
        """The member for a view; box regressors know the regions they were trained on alone."""
        boxes = self.boxes if region == self.region else None
        return Model(Member(self.network, self.svm, boxes, mirrored), self.preprocessing, region, weight)


def check_weights(settings: EnsembleSettings, models: int) -> None:
    """Raise DataError unless the weights, where there are any, are one a model."""
    if len(settings.weights) not in (0, models):
        raise DataError(f"ensemble.weights must be one a model, {models} of them, got {len(settings.weights)}")


def _load(detector: Detector) -> _Loaded:
    network, preprocessing, metadata = load_model(detector.network)
    return _Loaded(
        network,
        preprocessing,
        RegionSettings(**metadata["region"]),
        load_svm(detector.svm) if detector.svm else None,
        load_boxes(detector.boxes) if detector.boxes else None,
    )


def class_scores(found: Averages, height: int, width: int) -> ClassScores:
    """The scores and boxes that averages stand for, in an image of that size."""
    if found.moves is None:
        return unrefined(found.boxes, found.scores)
    return ClassScores(refine(found.boxes, found.moves, height, width), found.scores)


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
