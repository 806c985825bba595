"""From region scores to detections (R-CNN, arXiv 1311.2524, section 2.2 and the released settings)."""

import numpy as np

from detector.boxes import nms
from detector.config import DetectSettings
from detector.records import FIRST_LABEL, ClassScores, Detections, DetectionTable, join, take


def select(scores: ClassScores, min_score: float, settings: DetectSettings) -> Detections:
    """Per class, the boxes of at least `min_score` that survive greedy NMS; best first; ties by label.

    With `max_per_image`, only so many of all classes together.
    """
    none = Detections(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.float32))
    columns = range(scores.scores.shape[1])
    found = join([none, *(_select_class(scores, column, min_score, settings.nms_iou) for column in columns)])
    order = np.argsort(-found.scores, kind="stable")
    return take(found, order[: settings.max_per_image or len(order)])


def _select_class(scores: ClassScores, column: int, min_score: float, nms_iou: float) -> Detections:
    own = scores.scores[:, column]
    candidates = np.flatnonzero(own >= min_score)
    boxes = scores.boxes[candidates, column]
    kept = nms(boxes, own[candidates], nms_iou)
    labels = np.full(len(kept), column + FIRST_LABEL, np.int64)
    return Detections(boxes[kept], labels, own[candidates[kept]])


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
