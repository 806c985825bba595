"""Precision, recall and the two ways to make one number of them."""

import numpy as np

from detector.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE, Outcomes
from detector.records import Float64

ELEVEN_RECALLS: Float64 = np.arange(11.0) * 0.1  # as Octave counts 0:0.1:1; the fourth is 0.30000000000000004
AT_EVERY_OBJECT: Float64 = np.empty(0)  # recalls of the area under the envelope
HUNDRED_AND_ONE_RECALLS: Float64 = np.linspace(0, 1, 101)  # pycocotools' recThrs


def precision_recall(outcomes: Outcomes, objects: int) -> tuple[Float64, Float64]:
    """Recall and precision (M,) after each detection of one class, best first.

    Precision is NaN while all detections so far are ignored; recall is NaN where the class has no objects.
    """
    hits = np.cumsum(outcomes == TRUE_POSITIVE).astype(np.float64)
    misses = np.cumsum(outcomes == FALSE_POSITIVE)
    with np.errstate(invalid="ignore"):
        return hits / np.float64(objects), hits / (hits + misses)


def envelope(precision: Float64) -> Float64:
    """The best precision (M,) at this rank or any later one; NaN is passed over."""
    return np.fmax.accumulate(precision[::-1])[::-1]


def area_under_envelope(recall: Float64, precision: Float64) -> float:
    """Average precision of VOC 2010 and ILSVRC (VOCap.m): 0 without detections, NaN where recall is NaN."""
    steps = np.diff(np.concatenate([[0.0], recall, [1.0]]))
    heights = envelope(np.concatenate([precision, [0.0]]))
    return float(np.sum(steps * heights))


def average_precision(recall: Float64, precision: Float64, recalls: Float64) -> float:
    """The mean of the best precision at each of `recalls` or more; without `recalls`, the area under the envelope.

    With `ELEVEN_RECALLS` it is that of VOC 2007, but 0 without a counted detection, where the devkit gives NaN if
    there are ignored ones.
    """
    return mean_height(recall, precision, recalls) if len(recalls) else area_under_envelope(recall, precision)


def mean_height(recall: Float64, precision: Float64, at: Float64) -> float:
    """The mean over the recalls `at` of the best precision at that recall or more, 0 where it is not reached."""
    heights = envelope(np.concatenate([precision, [0.0]]))
    return float(np.mean(heights[np.searchsorted(recall, at, side="left")]))
