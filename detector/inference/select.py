"""From region scores to detections (R-CNN, arXiv 1311.2524, section 2.2 and the released settings)."""

import numpy as np

from detector.boxes import nms, soft_nms_gaussian, soft_nms_linear, vote_boxes
from detector.config import DetectSettings
from detector.records import (
    FIRST_LABEL,
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


def _select_class(scores: ClassScores, column: int, min_score: float, settings: DetectSettings) -> Detections:
    candidates = _candidates(scores, column, min_score)
    boxes, found = np.ascontiguousarray(scores.boxes[candidates, column]), scores.scores[candidates, column]
    kept, kept_scores = _suppress(boxes, found, min_score, settings)
    chosen = boxes[kept]
    if settings.voting_iou:
        chosen = vote_boxes(chosen, boxes, found, settings.voting_iou)
    labels = np.full(len(kept), column + FIRST_LABEL, np.int64)
    if scores.rescored is None:
        return Detections(chosen, labels, kept_scores)
    rescored = scores.rescored[candidates[kept], column]
    if settings.nms != "greedy":
        rescored = rescored * (kept_scores / found[kept])
    return take(Detections(chosen, labels, rescored), rescored >= min_score)


def _candidates(scores: ClassScores, column: int, min_score: float) -> Int64:
    """The rows (N,) that NMS looks at: none that could only lose, or lose to others and be dropped.

    They are those that score at least as well as the worst of those whose detection would have `min_score`.
    """
    own = scores.scores[:, column]
    if scores.rescored is None:
        return np.flatnonzero(own >= min_score)
    worst = own[scores.rescored[:, column] >= min_score].min(initial=np.inf)
    return np.flatnonzero(own >= worst)


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
