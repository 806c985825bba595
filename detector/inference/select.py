"""From region scores to detections (R-CNN, arXiv 1311.2524, section 2.2 and the released settings)."""

import numpy as np

from detector.boxes import nms
from detector.config import DetectSettings
from detector.records import FIRST_LABEL, Detections, DetectionTable, RegionScores, join, take


def select(scores: RegionScores, settings: DetectSettings) -> Detections:
    """Per class, the boxes of at least `min_score` that survive greedy NMS; best first; ties by label.

    With `max_per_image`, only so many of all classes together.
    """
    per_class = [_select_class(scores, label, settings) for label in range(FIRST_LABEL, scores.probs.shape[1])]
    found = join(per_class)
    order = np.argsort(-found.scores, kind="stable")
    return take(found, order[: settings.max_per_image or len(order)])


def _select_class(scores: RegionScores, label: int, settings: DetectSettings) -> Detections:
    probs = scores.probs[:, label]
    candidates = np.flatnonzero(probs >= settings.min_score)
    kept = candidates[nms(scores.boxes[candidates], probs[candidates], settings.nms_iou)]
    return Detections(scores.boxes[kept], np.full(len(kept), label, np.int64), probs[kept])


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
