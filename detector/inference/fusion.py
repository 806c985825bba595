"""Detections of one image by several systems, made one; for systems that do not score the same regions.

`fuse` is weighted boxes fusion (Solovyev et al., arXiv 1910.13302, section 3); `join_systems` is the joint NMS
that the paper compares it with.

Differs from the paper: boxes are in pixels, not in fractions of the image, which no overlap or mean depends on.
Boxes without area are dropped, as by its authors' package. Of equal scores the earlier system's comes first.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from detector.boxes import box_area, nms
from detector.errors import DataError
from detector.jit import njit
from detector.records import Detections, join, take


def fuse(
    systems: Sequence[Detections],
    weights: Sequence[float],
    iou: float = 0.55,
    min_score: float = 0.0,
    votes: Literal["capped", "counted"] = "capped",
) -> Detections:
    """Weighted boxes fusion: of each cluster of a class's boxes the mean, weighted by score; best first.

    Scores, at least 0, are multiplied by the weight of their system; boxes under `min_score` before that are left
    out. From the best down, each box joins the cluster whose mean it overlaps most, if by more than `iou`, or
    starts one. A cluster of T boxes scores its mean score times min(T, N) over the sum of the N systems' weights,
    or with `votes` counted times T over that sum, which can exceed 1.
    """
    limit = len(systems) if votes == "capped" else np.inf

    def fuse_class(own: Detections) -> Detections:
        own = take(own, box_area(own.boxes) > 0)
        boxes, scores, sizes = _cluster(own.boxes.astype(np.float64), own.scores.astype(np.float64), iou)
        scores *= np.minimum(sizes, limit) / sum(weights)
        return Detections(boxes.astype(np.float32), own.labels[: len(boxes)], scores.astype(np.float32))

    return _per_class(_weigh(systems, weights, min_score), fuse_class)


def join_systems(systems: Sequence[Detections], weights: Sequence[float], nms_iou: float = 0.5) -> Detections:
    """The detections of all systems that survive greedy NMS of each class; best first.

    Scores, at least 0, are multiplied by the weight of their system over the greatest weight.
    """

    def suppress(own: Detections) -> Detections:
        return take(own, nms(own.boxes, own.scores, nms_iou))

    found = _per_class(_weigh(systems, weights, 0.0), suppress)
    return replace(found, scores=found.scores / np.float32(max(weights)))


def _weigh(systems: Sequence[Detections], weights: Sequence[float], min_score: float) -> Detections:
    """All systems' detections of at least `min_score`, scores times weights, best first."""
    if len(systems) != len(weights):
        raise DataError(f"weights must be one for each of {len(systems)} systems, got {len(weights)}")
    if not all(0 < weight < np.inf for weight in weights):
        raise DataError(f"weights must be positive numbers, got {', '.join(map(str, weights))}")
    joined = join(systems)
    if joined.scores.min(initial=0) < 0:
        raise DataError(f"scores of systems must be at least 0, got {joined.scores.min():g} (SVM scores?)")
    factors = np.repeat(np.array(weights, np.float32), [len(found.scores) for found in systems])
    weighted = replace(joined, scores=joined.scores * factors)
    order = np.argsort(-weighted.scores, kind="stable")
    return take(weighted, order[joined.scores[order] >= min_score])


def _per_class(found: Detections, change: Callable[[Detections], Detections]) -> Detections:
    """What `change` makes of each label's detections, in their order; best first, ties by label."""
    none = take(found, np.empty(0, np.int64))
    changed = join([none, *(change(take(found, found.labels == label)) for label in np.unique(found.labels))])
    return take(changed, np.argsort(-changed.scores, kind="stable"))


@njit(nogil=True)
def _cluster(boxes, scores, iou):  # type: ignore[no-untyped-def]
    """Clusters of one class's boxes (n, 4), best first: mean boxes (k, 4), mean scores (k,) and sizes (k,)."""
    sums = np.zeros((len(boxes), 4))
    totals, sizes = np.zeros(len(boxes)), np.zeros(len(boxes))
    means = np.empty((len(boxes), 4))
    count = 0
    for i in range(len(boxes)):
        nearest, best = count, iou
        area = (boxes[i, 2] - boxes[i, 0]) * (boxes[i, 3] - boxes[i, 1])
        for k in range(count):
            width = min(boxes[i, 2], means[k, 2]) - max(boxes[i, 0], means[k, 0])
            height = min(boxes[i, 3], means[k, 3]) - max(boxes[i, 1], means[k, 1])
            if width <= 0 or height <= 0:
                continue
            inter = width * height
            overlap = inter / (area + (means[k, 2] - means[k, 0]) * (means[k, 3] - means[k, 1]) - inter)
            if overlap > best:
                nearest, best = k, overlap
        if nearest == count:
            means[count] = boxes[i]
            count += 1
        totals[nearest] += scores[i]
        sizes[nearest] += 1
        if scores[i] > 0:
            for side in range(4):
                sums[nearest, side] += scores[i] * boxes[i, side]
                means[nearest, side] = sums[nearest, side] / totals[nearest]
    return means[:count], totals[:count] / sizes[:count], sizes[:count]
