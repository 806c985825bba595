"""The coverage of objects by proposals as plain loops over lists."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from oracles_evaluation import Box, overlap


def best_overlaps(objects: Sequence[tuple[int, Box]], boxes: Sequence[Sequence[Box]], count: int) -> list[float]:
    """The best overlap of each (image, box) with the first `count` boxes of its image, 0 where there is none."""
    return [max((overlap(box, other) for other in boxes[image][:count]), default=0.0) for image, box in objects]


def recall(overlaps: Sequence[float], iou: float) -> float:
    """The share of the objects that are covered so well."""
    return sum(value >= iou for value in overlaps) / len(overlaps) if overlaps else math.nan


def average_recall(overlaps: Sequence[float]) -> float:
    """Twice the area under the recall from 0.5 to 1, step by step between the thresholds where it changes."""
    exact = [Fraction(value) for value in overlaps]
    steps = sorted({Fraction(1, 2), Fraction(1), *(value for value in exact if value > Fraction(1, 2))})
    total = Fraction(0)
    for low, high in pairwise(steps):
        covered = sum(value >= high for value in exact)  # the same for every threshold over `low` up to `high`
        total += (high - low) * covered
    return float(2 * total / len(exact)) if exact else math.nan
