"""Stages `seen`, `context_rows` and `context`: rescoring by what an image tells of its regions.

A rescoring is learned from the detections on data that no model was trained on: of which each one hits an object,
by the rule of the run's protocol. The scores are those that the run would report without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.config import Config, reported_method
from detector.data.dataset import Dataset
from detector.data.journal import Entry, Fields
from detector.data.stores import Store, read_proposals
from detector.errors import DataError
from detector.evaluation.outcomes import match_ranked
from detector.inference.context import (
    BOX_FEATURES,
    CLASSES,
    RESCORING,
    Context,
    Features,
    Seen,
    WholeImages,
    context_facts,
    log_odds,
)
from detector.inference.select import survivors
from detector.networks.googlenet import FEATURES
from detector.networks.rescoring import LinearRescoring, load_context, maps_of, save_context, state_of
from detector.networks.weights import load_model, save_model
from detector.pipeline.distributed import Group
from detector.pipeline.inputs import detect_inputs, engine_name, images_hash, proposal_inputs, truth_hash
from detector.pipeline.parts import Tensors, run_parts
from detector.pipeline.regions import load_regions
from detector.pipeline.run import RunFolder, Stage, file_hash
from detector.pipeline.scores import Scores, ScoreSource
from detector.pipeline.stored import Make, run_stored_stage
from detector.records import FIRST_LABEL, Array, ClassScores, DetectionTable, Float32, Int64, take
from detector.training.rescoring import RescoringRows, fit_rescoring

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

        def rescored(positions: range) -> Iterator[ClassScores]:
            for position, found in zip(positions, scores(positions), strict=True):
                yield context.apply(found, read_seen(self.seen, position), *dataset.sizes[position].tolist())

        return rescored


def trained_context(run: RunFolder, config: Config) -> Path:
    """The file of the run's rescoring; DataError where there is none, or one of other scores."""
    if not run.context_path.is_file():
        raise DataError(f"run must hold a rescoring by context, got none at {run.context_path}")
    wanted, learned = _rescored(config), load_context(run.context_path)[1]["scores"]
    if learned != wanted:
        raise DataError(
            f"context must be learned from the scores it is used on, {wanted}, got {learned} "
            f"({run.context_path}); context.splits=[] does without"
        )
    return run.context_path


def _rescored(config: Config) -> str:
    """What scores are rescored."""
    return f"{reported_method(config)}{', averaged' if config.ensemble.is_used else ''}"


def image_network(run: RunFolder, config: Config) -> Path:
    """The file in the run folder of the network that sees whole images."""
    return run.image_network_path if image_weights(config) else run.model_path


def image_weights(config: Config) -> Path | None:
    """The pretrained weights of that network; None where it is the region classifier."""
    return config.context.weights or config.network.weights


def keep_image_network(run: RunFolder, config: Config, group: Group) -> None:
    """Copy pretrained weights into the run folder, whose detector then needs nothing else."""
    weights = image_weights(config)
    if weights and group.is_first:
        network, preprocessing, _ = load_model(weights)
        save_model(run.image_network_path, network, preprocessing)
    group.wait()


def check_image_network(config: Config) -> None:
    """Raise DataError where ImageNet's probabilities are asked of a network that does not give them."""
    weights = image_weights(config)
    if config.context.is_used and "imagenet" in config.context.image and weights:
        outputs = load_model(weights)[0].classifier.out_features
        if outputs != IMAGENET_CLASSES:
            raise DataError(f"context.weights must have 1,000 classes for imagenet, got {outputs} ({weights})")


def check_apart(training: Dataset, held_out: Dataset) -> None:
    """Raise DataError for images to learn the rescoring from that the models are trained on."""
    both = np.intersect1d(training.paths, held_out.paths)
    if len(both):
        raise DataError(
            f"context.splits must hold no image that is trained on, got {len(both)} of them, first {both[0]}"
        )


def run_seen(
    stage: Stage, config: Config, dataset: Dataset, proposals: Store, network_path: Path, group: Group
) -> Store:
    """What the network makes of every image of a data set; nothing of those that were found unreadable."""
    outputs = load_model(network_path)[0].classifier.out_features
    fields: Fields = {"features": (FLOAT, (FEATURES,)), "probs": (FLOAT, (outputs,))}

    def whole(position: int) -> Float32:
        readable = len(read_proposals(proposals, position).boxes) > 0
        return np.zeros((int(readable), 4), np.float32)

    def prepare() -> Make:
        images = WholeImages(network_path, config.engine)
        workers = group.workers(config.engine.workers)

        def make(positions: range) -> Iterator[Entry]:
            for found in images.see(load_regions(config, dataset, whole, positions, workers)):
                yield {"features": found.features[None], "probs": found.probs[None]}

        return make

    inputs = {
        "images": images_hash(dataset),
        "exif": config.data.exif,
        "proposals": proposal_inputs(config, dataset),
        "network": file_hash(network_path),
        "engine": engine_name(config.engine),
    }
    return run_stored_stage(
        stage, inputs, fields, len(dataset), group, prepare, lambda found: {"images": len(found)}
    )


def read_seen(store: Store, position: int) -> Seen:
    """What the store of `run_seen` holds of an image."""
    found = store.read(position)
    return Seen(np.array(found["features"][0]), np.array(found["probs"][0]))


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
    inputs = {**detect_inputs(config, dataset, split.source.inputs()), "context": settings}
    return run_stored_stage(stage, inputs, fields, len(dataset), group, prepare, facts)


def context_rows(scores: ClassScores, features: Features, height: int, width: int, config: Config) -> Entry:
    """Each class's best detection of an image and the best others: their regions' features, boxes and scores."""
    rows, columns = survivors(scores, config.detect.nms_iou)
    found = scores.scores[rows, columns]
    is_best = np.ones(len(rows), np.bool_)
    is_best[1:] = columns[1:] != columns[:-1]
    others = np.flatnonzero(~is_best)
    others = others[np.argsort(-found[others], kind="stable")][: config.context.detections]
    kept = np.sort(np.concatenate([np.flatnonzero(is_best), others]))
    rows, columns = rows[kept], columns[kept]
    nothing = Seen(np.empty(0, np.float32), np.empty(0, np.float32))
    own = features.of(scores, nothing, height, width).own
    return {
        "own": own[rows, columns] if own.ndim == 3 else own[rows],
        "boxes": scores.boxes[rows, columns],
        "labels": columns + FIRST_LABEL,
        "scores": scores.scores[rows, columns],
    }


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
        features = Features(config.context.region, config.context.image, by_svm)
        if trained_on is not None:
            classes = learn_classes(training, trained_on, str(group.device))
            features = Features(features.region, features.image, by_svm, classes)
        learned = learn_rescoring(config, features, held_out.dataset, rows, seen, str(group.device))
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


def learn_classes(dataset: Dataset, seen: Store, device: str = "cpu") -> LinearRescoring:
    """From an image's features to the log-odds that it holds each class, by logistic regression."""
    objects = dataset.objects
    targets = np.where(dataset.complete, -1, 0).astype(np.int8)
    targets[objects.image, objects.labels - FIRST_LABEL] = 1
    readable = np.flatnonzero(np.diff(seen.offsets))
    features = np.array(seen.field("features"))
    rows = RescoringRows(
        np.empty((len(readable), 0), np.float32), features, np.arange(len(readable)), targets[readable]
    )
    classes = targets.shape[1]
    nothing = LinearRescoring(
        torch.zeros(classes, 0), torch.zeros(classes, features.shape[1]), torch.zeros(classes)
    )
    return fit_rescoring(rows, nothing, device=device).linear


def learn_rescoring(
    config: Config, features: Features, dataset: Dataset, rows: Store, seen: Store, device: str = "cpu"
) -> Context:
    """The rescoring of the detections `rows` of a data set, of whose images `seen` tells."""
    images = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
    labels, scores = np.array(rows.field("labels")), np.array(rows.field("scores"))
    table = DetectionTable(images, np.array(rows.field("boxes"), np.float64), labels, scores.astype(np.float64))
    targets = hits(config, dataset, table)
    classes = len(dataset.classes)
    of_classes = np.zeros((len(labels), classes), np.int8)
    of_classes[np.arange(len(labels)), labels - FIRST_LABEL] = targets
    used = np.flatnonzero(np.diff(rows.offsets))  # images with detections
    best = best_scores(images, labels, scores if features.by_svm else log_odds(scores), len(rows), classes)
    of_image = np.stack([features.of_image(best[image], read_seen(seen, image)) for image in used.tolist()])
    learned = fit_rescoring(
        RescoringRows(np.array(rows.field("own")), of_image, np.searchsorted(used, images), of_classes),
        features.unchanged(classes, of_image.shape[1]),
        device=device,
    )
    return Context(features, learned.linear)


def hits(config: Config, dataset: Dataset, table: DetectionTable) -> Array:
    """For each detection (M,) int8 1 if it hits an object, -1 if not, 0 if that is not to learn from."""
    order = np.argsort(-table.scores, kind="stable")
    matches = match_ranked(config.evaluate.protocol, dataset.objects, take(table, order), dataset.blacklist)
    outcomes = np.empty(len(order), np.int8)
    outcomes[order] = matches[0].outcomes
    known = dataset.complete[table.image, table.labels - FIRST_LABEL]
    return np.where(known | (outcomes > 0), outcomes, 0).astype(np.int8)


def best_scores(images: Int64, labels: Int64, scores: Float32, count: int, classes: int) -> Float32:
    """The best score (count, C) of each class in each image, -inf where it has none."""
    best = np.full((count, classes), -np.inf, np.float32)
    np.maximum.at(best, (images, labels - FIRST_LABEL), scores)
    return best
