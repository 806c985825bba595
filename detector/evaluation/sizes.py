"""Average precision by the size of the objects.

In a range of areas those objects count that lie in it. A detection keeps the object that it hits in the whole
evaluation: it is a hit if that object is in the range, and ignored if not. A false positive counts if its own box
is in the range, and is ignored if not. So every object and every detection counts in one range.

Differs from pycocotools (APs, APm, APl), which matches anew for each range, where objects in the range are
preferred, and which counts an object on the edge of two ranges in both; a COCO report has those numbers.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from detector.boxes import box_area
from detector.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detector.evaluation.outcomes import MatchedDetections
from detector.evaluation.recall import LARGE, SMALL
from detector.evaluation.weighted import class_ap, mean_over_classes
from detector.records import Array, Bool, Float64, Int64

COCO_EDGES = np.array([0, SMALL, LARGE, np.inf])  # square pixels: small, medium, large


@dataclass(frozen=True, eq=False)
class SizeReport:
    """AP (K, C) of objects with an area in edges[k] <= area < edges[k + 1], square pixels, and how many there are.

    NaN where a class has no object of the size; mean_ap (K,) is over the classes that have some.
    """

    edges: Float64
    ap: Float64
    objects: Int64
    mean_ap: Float64


def ap_by_size(matched: MatchedDetections, edges: Float64) -> SizeReport:
    """AP in each of the ranges between the rising `edges` (K + 1,)."""
    parts = [_within(matched, low, high) for low, high in pairwise(edges)]
    ap = np.stack([class_ap(part) for part in parts])
    return SizeReport(edges, ap, np.stack([part.positives for part in parts]), mean_over_classes(ap))


def tercile_edges(matched: MatchedDetections) -> Float64:
    """Edges (4,) that part the counted objects in thirds, for data whose objects COCO would mostly call large."""
    areas = matched.objects.areas[matched.counted]
    inner = np.quantile(areas, [1 / 3, 2 / 3], method="higher") if len(areas) else np.zeros(2)
    return np.array([0, *inner, np.inf])


def _within(matched: MatchedDetections, low: float, high: float) -> MatchedDetections:
    """`matched` with what is outside of the range of areas ignored."""
    wanted = _between(matched.objects.areas, low, high)
    hit = np.append(wanted, False)[matched.hits]  # (T, M), where something was hit
    own = _between(box_area(matched.detections.boxes), low, high)
    outcomes = matched.outcomes.copy()
    outcomes[(outcomes == TRUE_POSITIVE) & ~hit] = IGNORED
    outcomes[(outcomes == FALSE_POSITIVE) & ~own] = IGNORED
    return replace(matched, outcomes=outcomes, counted=matched.counted & wanted)


def _between(areas: Array, low: float, high: float) -> Bool:
    return (areas >= low) & (areas < high)
