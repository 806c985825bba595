"""Stages `context_rows` and `context`: learning to rescore detections by what their image tells of them.

A rescoring is learned from the detections on data that no model was trained on: of which each one hits an object,
by the rule of the run's protocol. The scores are those that the run would report without it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detector.config import ContextSettings, EngineSettings
from detector.data.dataset import Dataset
from detector.errors import DataError
from detector.evaluation.outcomes import protocol_of
from detector.inference.image_context import (
    BOX_FEATURES,
    CLASSES,
    RESCORING,
    Context,
    Features,
    context_facts,
    read_facts,
)
from detector.inference.models import trained_classes
from detector.inference.select import survivors
from detector.networks.context_maps import LinearRescoring, load_context, maps_of, save_context, state_of
from detector.records import FIRST_LABEL, Array, ClassScores, DetectionTable, Float32, Int64, take
from detector.runs.journal import Entry, Fields
from detector.runs.part_result import Tensors, run_parts
from detector.runs.split import Split, truth_key
from detector.runs.stage import Stage
from detector.runs.store import Store
from detector.runs.stored_result import Make, run_stored
from detector.stages.image_features import read_image_features
from detector.stages.region_rows import FLOAT
from detector.stages.score_sources import ScoreSource
from detector.training.context_fit import RescoringRows, fit_rescoring

VERSION = 1
COLUMNS = ("own", "boxes", "labels", "scores")  # of what `context_rows` gives


@dataclass(frozen=True)
class SplitScores:
    """A split with its proposals and where their scores come from."""

    split: Split
    proposals: Store
    source: ScoreSource


@dataclass(frozen=True)
class SeenImages:
    """A data set, and the stored features of its images."""

    dataset: Dataset
    seen: Store

    @property
    def reads(self) -> dict[str, Any]:
        """What they depend on."""
        return {"seen": self.seen, "truth": truth_key(self.dataset)}


@dataclass(frozen=True)
class ContextTask:
    """What to learn: the settings, of which scores (`scores` describes them), by which rule of hits."""

    settings: ContextSettings
    scores: str
    by_svm: bool
    protocol: str
    nms_iou: float

    @property
    def features(self) -> Features:
        """The features without what is learned of them."""
        return Features(self.settings.region, self.settings.image, self.by_svm)


def check_apart(key: str, training: Dataset, held_out: Dataset) -> None:
    """Raise DataError for images of the splits at `key` that the models are trained on."""
    both = np.intersect1d(training.paths, held_out.paths)
    if len(both):
        raise DataError(f"{key} must hold no image that is trained on, got {len(both)} of them, first {both[0]}")


def check_context(path: Path, scores: str, model: Path) -> Path:
    """`path` where it is a rescoring of such scores by such a model; DataError where it is none."""
    if not path.is_file():
        raise DataError(f"run must hold a rescoring by context, got none at {path}")
    learned = read_facts(load_context(path)[1], path)
    if learned.scores != scores:
        raise DataError(
            f"context must be learned from the scores it is used on, {scores}, got {learned.scores} ({path}); "
            "context.splits=[] does without"
        )
    if learned.classes is not None and list(learned.classes) != trained_classes(model):
        raise DataError(f"context must be learned for the classes of the model, got others ({path})")
    return path


def run_context_rows(stage: Stage, task: ContextTask, held_out: SplitScores, engine: EngineSettings) -> Store:
    """The detections to learn from, with the features of their regions."""
    dataset = held_out.split.dataset
    settings = task.settings
    width = BOX_FEATURES if settings.region == "box" else len(dataset.classes)
    fields: Fields = {
        "own": (FLOAT, (width,)),
        "boxes": (FLOAT, (4,)),
        "labels": (np.dtype(np.int64), ()),
        "scores": (FLOAT, ()),
    }

    def prepare() -> Make:
        workers = stage.group.workers(engine.workers)
        scores = held_out.source.open(held_out.split, held_out.proposals, workers)

        def make(positions: range) -> Iterator[Entry]:
            for position, found in zip(positions, scores(positions), strict=True):
                height, width = dataset.sizes[position].tolist()
                yield context_rows(found, task, height, width)

        return make

    chosen = {"region": settings.region, "detections": settings.detections, "nms_iou": task.nms_iou}
    result = stage.result(
        VERSION,
        regions=held_out.proposals,
        images=held_out.split.key,
        scores=held_out.source.reads,
        by_svm=task.by_svm,
        context=chosen,
    )
    return run_stored(
        result,
        fields,
        len(dataset),
        prepare,
        lambda found: {"images": len(found), "detections": int(found.offsets[-1])},
    )


def run_context(
    stage: Stage, task: ContextTask, held_out: SeenImages, rows: Store, training: SeenImages | None, output: Path
) -> Path:
    """Learn the rescoring; `output`, with it. `training` is what was seen of the training data, if it is used."""
    dataset, device = held_out.dataset, str(stage.group.device)

    def learn(_: int) -> Tensors:
        features = learned_features(task, training, device)
        learned = learn_rescoring(task, features, held_out, Examples.of_store(rows), device)
        return state_of({RESCORING: learned.rescoring} | ({CLASSES: features.classes} if features.classes else {}))

    def finish(path: Path, parts: list[Tensors]) -> dict[str, Any]:
        facts = {"scores": task.scores, "classes": list(dataset.classes.names)}
        save_context(path, maps_of(parts[0]), **facts, **context_facts(task.features))
        return {"detections": int(rows.offsets[-1])}

    result = stage.result(
        VERSION,
        rows=rows,
        held_out=held_out.reads,
        protocol=task.protocol,
        image=task.settings.image,
        training=training and training.reads,
    )
    return run_parts(result, 1, learn, output, finish)


def learned_features(task: ContextTask, training: SeenImages | None, device: str = "cpu") -> Features:
    """The features that the settings ask for, with what is learned of the training images where they do."""
    if training is None:
        return task.features
    return replace(task.features, classes=learn_classes(training.dataset, training.seen, device))


def context_rows(scores: ClassScores, task: ContextTask, height: int, width: int) -> Entry:
    """Each class's best detection of an image and the best others: their regions' features, boxes and scores.

    own (M, D) f32, boxes (M, 4) f32, labels (M,) i64, scores (M,) f32, by class and then best first.
    """
    rows, columns = survivors(scores, task.nms_iou)
    found = scores.scores[rows, columns]
    is_best = np.ones(len(rows), np.bool_)
    is_best[1:] = columns[1:] != columns[:-1]
    others = np.flatnonzero(~is_best)
    others = others[np.argsort(-found[others], kind="stable")][: task.settings.detections]
    kept = np.sort(np.concatenate([np.flatnonzero(is_best), others]))
    rows, columns = rows[kept], columns[kept]
    own = task.features.of_regions(scores, height, width)
    return {
        "own": own[rows, columns] if own.ndim == 3 else own[rows],
        "boxes": scores.boxes[rows, columns],
        "labels": columns + FIRST_LABEL,
        "scores": scores.scores[rows, columns],
    }


def learn_classes(dataset: Dataset, seen: Store, device: str = "cpu") -> LinearRescoring:
    """From an image's features (F,) to the log-odds (C,) that it holds each class, by logistic regression."""
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


@dataclass(frozen=True, eq=False)
class Examples:
    """Detections to learn from, as `context_rows` gives them, and of which image (M,) each is."""

    images: Int64
    own: Float32
    boxes: Float32
    labels: Int64
    scores: Float32
    count: int  # of the images

    @staticmethod
    def of_store(rows: Store) -> "Examples":
        """Those that `run_context_rows` stored."""
        images = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
        own, boxes, labels, scores = (np.array(rows.field(name)) for name in COLUMNS)
        return Examples(images, own, boxes, labels, scores, len(rows))

    @staticmethod
    def of_entries(entries: Sequence[Entry]) -> "Examples":
        """Those of images 0, 1, 2, ..."""
        images = np.repeat(np.arange(len(entries)), [len(entry["labels"]) for entry in entries])
        own, boxes, labels, scores = (np.concatenate([entry[name] for entry in entries]) for name in COLUMNS)
        return Examples(images, own, boxes, labels, scores, len(entries))


def learn_rescoring(
    task: ContextTask, features: Features, held_out: SeenImages, examples: Examples, device: str = "cpu"
) -> Context:
    """The rescoring of the detections `examples` on data held out; DataError where there are none."""
    dataset, seen = held_out.dataset, held_out.seen
    images, labels, scores = examples.images, examples.labels, examples.scores
    if not len(labels):
        raise DataError(f"{dataset.name} must have regions to learn a rescoring from, got none")
    table = DetectionTable(images, examples.boxes.astype(np.float64), labels, scores.astype(np.float64))
    classes = len(dataset.classes)
    targets = np.zeros((len(labels), classes), np.int8)
    targets[np.arange(len(labels)), labels - FIRST_LABEL] = hits(task.protocol, dataset, table)
    used = np.unique(images)
    best = best_scores(images, labels, features.raised(scores), examples.count, classes)
    of_image = np.stack(
        [features.of_image(best[image], read_image_features(seen, image)) for image in used.tolist()]
    )
    learned = fit_rescoring(
        RescoringRows(examples.own, of_image, np.searchsorted(used, images), targets),
        features.unchanged(classes, of_image.shape[1]),
        device=device,
    )
    return Context(features, learned.linear)


def hits(protocol: str, dataset: Dataset, table: DetectionTable) -> Array:
    """For each detection (M,) int8 1 if it hits an object, -1 if not, 0 if that is not to learn from."""
    order = np.argsort(-table.scores, kind="stable")
    matches = protocol_of(protocol).match(dataset.objects, take(table, order), dataset.blacklist)
    outcomes = np.empty(len(order), np.int8)
    outcomes[order] = matches[0].outcomes
    known = dataset.complete[table.image, table.labels - FIRST_LABEL]
    return np.where(known | (outcomes > 0), outcomes, 0).astype(np.int8)


def best_scores(images: Int64, labels: Int64, scores: Float32, count: int, classes: int) -> Float32:
    """The best score (count, C) of each class in each image, -inf where it has none."""
    best = np.full((count, classes), -np.inf, np.float32)
    np.maximum.at(best, (images, labels - FIRST_LABEL), scores)
    return best
