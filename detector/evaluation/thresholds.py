"""The score from which each class's detections are worth keeping."""

from dataclasses import dataclass

import numpy as np

from detector.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE, Outcomes
from detector.evaluation.outcomes import MatchedDetections, group_by_class
from detector.records import FIRST_LABEL, Bool, Float64


@dataclass(frozen=True, eq=False)
class ScoreThresholds:
    """The lowest scores (C,) to keep for the best F1, and F1, precision and recall (C,) of what is kept.

    F1 is 2PR / (P + R); of equal ones the highest score's is taken. All four are NaN for a class without objects.
    A class of which nothing is found has the threshold NaN, which keeps nothing, F1 and recall 0, precision NaN.
    """

    scores: Float64
    f1: Float64
    precision: Float64
    recall: Float64


def best_thresholds(matched: MatchedDetections) -> ScoreThresholds:
    """The threshold of each class with the best F1; for COCO at IoU 0.5."""
    rows, edges = group_by_class(matched.detections.labels, matched.num_classes)
    scores, outcomes = matched.detections.scores[rows], matched.outcomes[0, rows]
    found = [
        _best_threshold(scores[edges[c] : edges[c + 1]], outcomes[edges[c] : edges[c + 1]], int(objects))
        for c, objects in enumerate(matched.positives)
    ]
    columns = np.array(found, np.float64).reshape(-1, 4).T
    return ScoreThresholds(*columns)


def kept(matched: MatchedDetections, scores: Float64) -> Bool:
    """Mask (M,) of the detections of `matched` that reach their class's threshold in `scores` (C,)."""
    return matched.detections.scores >= scores[matched.detections.labels - FIRST_LABEL]


def _best_threshold(scores: Float64, outcomes: Outcomes, objects: int) -> tuple[float, float, float, float]:
    """Threshold, F1, precision and recall of one class, whose detections come best first."""
    if objects == 0:
        return np.nan, np.nan, np.nan, np.nan
    hits = np.cumsum(outcomes == TRUE_POSITIVE)
    if not hits[-1:].any():
        return np.nan, 0.0, np.nan, 0.0
    kept = hits + np.cumsum(outcomes == FALSE_POSITIVE)
    ends = np.flatnonzero(np.diff(scores, append=-np.inf))  # a threshold keeps all detections of a score, or none
    f1 = 2 * hits[ends] / (kept[ends] + objects)
    best = ends[np.argmax(f1)]
    return scores[best], f1.max(), hits[best] / kept[best], hits[best] / objects
