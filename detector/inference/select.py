"""From region scores to detections (R-CNN, arXiv 1311.2524, section 2.2 and the released settings)."""

from typing import NamedTuple

import numpy as np

from detector.boxes import nms, soft_nms_gaussian, soft_nms_linear, vote_boxes
from detector.config import DetectSettings
from detector.records import (
    FIRST_LABEL,
    Bool,
    ClassScores,
    Detections,
    DetectionTable,
    Float32,
    Int64,
    join,
    take,
)


def select(scores: ClassScores, min_score: float, settings: DetectSettings) -> Detections:
    """Per class, the boxes of at least `min_score` that survive NMS, voted on if asked; best first; ties by label.

    With `max_per_image`, only so many of all classes together. Where there are `rescored` scores, NMS and votes go
    by the scores, and order and limits by the rescored ones.
    """
    none = Detections(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.float32))
    columns = range(scores.scores.shape[1])
    found = join([none, *(_select_class(scores, column, min_score, settings) for column in columns)])
    order = np.argsort(-found.scores, kind="stable")
    return take(found, order[: settings.max_per_image or len(order)])


class Chosen(NamedTuple):
    """Detections of one class: rows (K,) of the boxes given, best first by NMS, boxes (K, 4), scores (K,)."""

    rows: Int64
    boxes: Float32
    scores: Float32


def _select_class(scores: ClassScores, column: int, min_score: float, settings: DetectSettings) -> Detections:
    rescored = None if scores.rescored is None else scores.rescored[:, column]
    rows = np.flatnonzero(candidates(scores.scores[:, column], rescored, min_score))
    boxes, own = np.ascontiguousarray(scores.boxes[rows, column]), scores.scores[rows, column]
    found = choose_boxes(boxes, own, None if rescored is None else rescored[rows], min_score, settings)
    kept = found.scores >= min_score if rescored is not None else np.ones(len(found.rows), np.bool_)
    labels = np.full(len(found.rows), column + FIRST_LABEL, np.int64)
    return take(Detections(found.boxes, labels, found.scores), kept)


def candidates(scores: Float32, rescored: Float32 | None, min_score: float) -> Bool:
    """Mask (N,) of a class's scores that NMS looks at: none that could only lose, or win and be dropped.

    They are those at least as good as the worst of those whose detection would have `min_score`.
    """
    if rescored is None:
        return scores >= min_score
    worst = scores[rescored >= min_score].min(initial=np.inf)
    return scores >= worst


def choose_boxes(
    boxes: Float32, scores: Float32, rescored: Float32 | None, min_score: float, settings: DetectSettings
) -> Chosen:
    """What NMS keeps of a class's candidates, boxes (N, 4), voted on if asked.

    Scores are those that detections have in the end: with `rescored` (N,) some may be under `min_score`.
    """
    kept, kept_scores = _suppress(boxes, scores, min_score, settings)
    chosen = boxes[kept]
    if settings.voting_iou:
        chosen = vote_boxes(chosen, boxes, scores, settings.voting_iou)
    if rescored is None:
        return Chosen(kept, chosen, kept_scores)
    final = rescored[kept]
    if settings.nms != "greedy":
        final = final * (kept_scores / scores[kept])
    return Chosen(kept, chosen, final)


def _suppress(
    boxes: Float32, scores: Float32, min_score: float, settings: DetectSettings
) -> tuple[Int64, Float32]:
    """The rows (K,) of boxes (N, 4) that stay, best first, and their scores."""
    match settings.nms:
        case "greedy":
            kept = nms(boxes, scores, settings.nms_iou)
            return kept, scores[kept]
        case "soft_linear":
            return soft_nms_linear(boxes, scores, settings.nms_iou, min_score)
        case "soft_gaussian":
            return soft_nms_gaussian(boxes, scores, settings.soft_sigma, min_score)


def survivors(scores: ClassScores, iou: float) -> tuple[Int64, Int64]:
    """The rows (M,) and columns (M,) that greedy NMS keeps of every class, by class and then best first."""
    columns = range(scores.scores.shape[1])
    kept = [nms(np.ascontiguousarray(scores.boxes[:, c]), scores.scores[:, c], iou) for c in columns]
    rows = np.concatenate([np.empty(0, np.int64), *kept])
    return rows, np.repeat(np.arange(len(kept)), [len(each) for each in kept])


def keep_best_of_each_class(table: DetectionTable, limit: int) -> DetectionTable:
    """The `limit` best detections of each class over the whole set (0: all), rows in their order.

    Equal scores at the limit: the earlier rows stay.
    """
    if not limit:
        return table
    order = np.lexsort((-table.scores, table.labels))  # stable: by label, best first
    labels = table.labels[order]
    rank = np.arange(len(labels)) - np.searchsorted(labels, labels)
    return take(table, np.sort(order[rank < limit]))
