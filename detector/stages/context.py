"""Stages `seen`, `context_rows` and `context`: rescoring by what an image tells of its regions.

A rescoring is learned from the detections on data that no model was trained on: of which each one hits an object,
by the rule of the run's protocol. The scores are those that the run would report without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import Config, reported_method
from detector.data.dataset import Dataset
from detector.errors import DataError
from detector.files import file_hash
from detector.inference.image_context import (
    BOX_FEATURES,
    CLASSES,
    RESCORING,
    Context,
    Features,
    WholeImages,
    context_facts,
    read_facts,
)
from detector.inference.models import trained_classes
from detector.networks.context_maps import load_context, maps_of, save_context, state_of
from detector.networks.weight_files.weights import load_model, save_model
from detector.records import ClassScores
from detector.runs.folder import RunFolder, Stage
from detector.runs.journal import Entry, Fields
from detector.runs.part_stage import Tensors, run_parts
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group
from detector.runs.store import Store
from detector.runs.store_stage import Make, run_stored_stage
from detector.stages.inputs import detect_inputs, engine_name, images_hash, proposal_inputs, truth_hash
from detector.stages.learn_context import Examples, apply_context, context_rows, learn_classes, learn_rescoring
from detector.stages.region_sets import ProposedRegions, load_regions
from detector.stages.score_sources import Scores, ScoreSource

IMAGENET_CLASSES = 1000
FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class SplitScores:
    """A data set with its proposals and where their scores come from."""

    dataset: Dataset
    proposals: Store
    source: ScoreSource


@dataclass(frozen=True)
class FromContext:
    """The scores of another source, rescored by what was seen of the images."""

    source: ScoreSource
    context: Path
    seen: Store

    def inputs(self) -> dict[str, Any]:
        """As `ScoreSource` says."""
        return {"source": self.source.inputs(), "context": file_hash(self.context), "seen": self.seen.key}

    def open(self, config: Config, dataset: Dataset, proposals: Store, workers: int) -> Scores:
        """As `ScoreSource` says."""
        scores = self.source.open(config, dataset, proposals, workers)
        context = Context.load(self.context)
        width, outputs = (self.seen.field(name).shape[1] for name in ("features", "probs"))
        context.check(width, outputs, self.context)

        def rescored(positions: range) -> Iterator[ClassScores]:
            for position, found in zip(positions, scores(positions), strict=True):
                yield apply_context(context, found, self.seen, dataset, position)

        return rescored


def trained_context(run: RunFolder, config: Config) -> Path:
    """The file of the run's rescoring; DataError where there is none, or one of other scores."""
    if not run.context_path.is_file():
        raise DataError(f"run must hold a rescoring by context, got none at {run.context_path}")
    wanted, learned = _rescored(config), read_facts(load_context(run.context_path)[1], run.context_path)
    if learned.scores != wanted:
        raise DataError(
            f"context must be learned from the scores it is used on, {wanted}, got {learned.scores} "
            f"({run.context_path}); context.splits=[] does without"
        )
    if learned.classes is not None and list(learned.classes) != trained_classes(run.model_path):
        raise DataError(f"context must be learned for the classes of the model, got others ({run.context_path})")
    return run.context_path


def _rescored(config: Config) -> str:
    """What scores are rescored."""
    return f"{reported_method(config)}{', averaged' if config.ensemble.is_used else ''}"


def image_network(run: RunFolder, config: Config) -> Path:
    """The file in the run folder of the network that sees whole images."""
    return run.image_network_path if has_image_network(config) else run.model_path


def has_image_network(config: Config) -> bool:
    """Whether that network has pretrained weights of its own, and is not the region classifier."""
    return _image_weights(config) is not None


def _image_weights(config: Config) -> Path | None:
    return config.context.weights or config.network.weights


def keep_image_network(run: RunFolder, config: Config, group: Group) -> None:
    """Copy pretrained weights into the run folder, whose detector then needs nothing else."""
    weights = weights_file(_image_weights(config))
    if weights and group.is_first:
        network, preprocessing, _ = load_model(weights)
        save_model(run.image_network_path, network, preprocessing)
    group.wait()


def check_image_network(config: Config) -> None:
    """Raise DataError for weights that cannot be read or do not give ImageNet's probabilities where asked to."""
    weights = weights_file(_image_weights(config)) if config.context.is_used else None
    if weights is None:
        return
    outputs = load_model(weights)[0].classifier.out_features
    if "imagenet" in config.context.image and outputs != IMAGENET_CLASSES:
        raise DataError(f"context.weights must have 1,000 classes for imagenet, got {outputs} ({weights})")


def make_features(
    config: Config, by_svm: bool, training: Dataset, trained_on: Store | None, device: str = "cpu"
) -> Features:
    """The features that the settings ask for; `trained_on` is what was seen of `training`, or None."""
    features = Features(config.context.region, config.context.image, by_svm)
    if trained_on is None:
        return features
    return replace(features, classes=learn_classes(training, trained_on, device))


def check_apart(key: str, training: Dataset, held_out: Dataset) -> None:
    """Raise DataError for images of the splits at `key` that the models are trained on."""
    both = np.intersect1d(training.paths, held_out.paths)
    if len(both):
        raise DataError(f"{key} must hold no image that is trained on, got {len(both)} of them, first {both[0]}")


def run_seen(
    stage: Stage, config: Config, dataset: Dataset, proposals: Store, network_path: Path, group: Group
) -> Store:
    """What the network makes of every image of a data set; nothing of those without regions, unreadable or not."""
    network = load_model(network_path)[0]
    fields: Fields = {"features": (FLOAT, (network.width,)), "probs": (FLOAT, (network.classifier.out_features,))}
    boxes = ProposedRegions(proposals).boxes

    def prepare() -> Make:
        images = WholeImages(network_path, config.engine)
        workers = group.workers(config.engine.workers)

        def make(positions: range) -> Iterator[Entry]:
            loaded = load_regions(config, dataset, boxes, positions, workers)
            for position, found in zip(positions, images.see(loaded), strict=True):
                rows = slice(min(len(boxes(position)), 1))
                yield {"features": found.features[None][rows], "probs": found.probs[None][rows]}

        return make

    inputs = {
        "images": images_hash(dataset),
        "exif": config.data.exif,
        "proposals": proposal_inputs(config, dataset),
        "network": file_hash(network_path),
        "engine": engine_name(config.engine.in_floats),
    }
    return run_stored_stage(
        stage, inputs, fields, len(dataset), group, prepare, lambda found: {"images": len(found)}
    )


def run_context_rows(stage: Stage, config: Config, split: SplitScores, by_svm: bool, group: Group) -> Store:
    """The detections to learn from, with the features of their regions."""
    dataset = split.dataset
    features = Features(config.context.region, ("best",), by_svm)
    width = BOX_FEATURES if features.region == "box" else len(dataset.classes)
    fields: Fields = {
        "own": (FLOAT, (width,)),
        "boxes": (FLOAT, (4,)),
        "labels": (np.dtype(np.int64), ()),
        "scores": (FLOAT, ()),
    }

    def prepare() -> Make:
        scores = split.source.open(config, dataset, split.proposals, group.workers(config.engine.workers))

        def make(positions: range) -> Iterator[Entry]:
            for position, found in zip(positions, scores(positions), strict=True):
                height, width = dataset.sizes[position].tolist()
                yield context_rows(found, features, height, width, config)

        return make

    def facts(found: Store) -> dict[str, Any]:
        return {"images": len(found), "detections": int(found.offsets[-1])}

    settings = {"region": features.region, "detections": config.context.detections}
    inputs = {**detect_inputs(config, dataset, split.proposals, split.source.inputs()), "context": settings}
    return run_stored_stage(stage, inputs, fields, len(dataset), group, prepare, facts)


def run_context(
    stage: Stage,
    config: Config,
    training: Dataset,
    trained_on: Store | None,
    held_out: SplitScores,
    rows: Store,
    seen: Store,
    by_svm: bool,
    group: Group,
) -> Path:
    """Learn the rescoring; the path of its file. `trained_on` is what was seen of the training data, or None."""
    output = stage.run.context_path

    def learn(_: int) -> Tensors:
        features = make_features(config, by_svm, training, trained_on, str(group.device))
        examples = Examples.of_store(rows)
        learned = learn_rescoring(config, features, held_out.dataset, examples, seen, str(group.device))
        return state_of({RESCORING: learned.rescoring} | ({CLASSES: features.classes} if features.classes else {}))

    def finish(parts: list[Tensors]) -> dict[str, Any]:
        features = Features(config.context.region, config.context.image, by_svm)
        facts = {"scores": _rescored(config), "classes": list(training.classes.names)}
        save_context(output, maps_of(parts[0]), **facts, **context_facts(features))
        return {"detections": int(rows.offsets[-1])}

    inputs = {
        "rows": rows.key,
        "seen": seen.key,
        "truth": truth_hash(held_out.dataset),
        "protocol": config.evaluate.protocol,
        "image": config.context.image,
        "trained_on": {"seen": trained_on.key, "truth": truth_hash(training)} if trained_on is not None else None,
    }
    return run_parts(stage, inputs, 1, group, learn, output, finish)
