"""What rescoring by context is learned from, and how: detections of images that no model was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from detector.config import ContextSettings
from detector.data.dataset import Dataset
from detector.errors import DataError
from detector.evaluation.outcomes import protocol_of
from detector.inference.image_context import Context, Features
from detector.inference.select import survivors
from detector.networks.context_maps import LinearRescoring
from detector.records import FIRST_LABEL, Array, ClassScores, DetectionTable, Float32, Int64, take
from detector.runs.journal import Entry
from detector.runs.split import truth_key
from detector.runs.store import Store
from detector.stages.image_features import read_image_features
from detector.training.context_fit import RescoringRows, fit_rescoring

COLUMNS = ("own", "boxes", "labels", "scores")  # of what `context_rows` gives


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
    return Context(features, learned.linear, task.settings.after_nms)


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
