"""Which detections hit which objects: the two ways of ILSVRC's rule and of VOC's.

Both count inclusive pixels. The arithmetic follows the order of operations of the two devkits, so that overlaps
that are equal there are equal here, fractional corners included.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.jit import njit
from detector.records import Array, Bool, DetectionTable, Float64, Int64, ObjectTable, take

Outcomes = NDArray[np.int8]

TRUE_POSITIVE = 1
IGNORED = 0
FALSE_POSITIVE = -1


class Matches(NamedTuple):
    """The outcomes (M,) of detections, and the rows (M,) of the objects that they hit, -1 for none.

    Where two detections hit one object, one of them at most is a true positive.
    """

    outcomes: Outcomes
    objects: Int64


def blacklisted(image: Int64, labels: Int64, blacklist: Int64) -> NDArray[np.bool_]:
    """Mask of the rows whose (image, label) is a row of `blacklist` (K, 2)."""
    span = 1 + max(labels.max(initial=0), blacklist[:, 1].max(initial=0))
    return np.isin(image * span + labels, blacklist[:, 0] * span + blacklist[:, 1])


def match_unused(objects: ObjectTable, ranked: DetectionTable, thresholds: Float64, skipped: Bool) -> Matches:
    """The matches of the detections `ranked` best first; those `skipped` (M,) are ignored.

    Each takes, of the unused objects of its image and class that it overlaps by at least their `thresholds` (G,),
    the one it overlaps most (the first on equality).
    """
    rows, first, last = _candidates(objects, ranked)
    boxes = inclusive(objects.boxes[rows])
    outcomes, hits = _match_unused(inclusive(ranked.boxes), skipped, first, last, boxes, thresholds[rows])
    return Matches(outcomes, _rows_hit(rows, hits))


def match_best(objects: ObjectTable, ranked: DetectionTable, threshold: float) -> Matches:
    """The matches of the detections `ranked` best first.

    Each looks at the object of its image and class that it overlaps most, used or not (the first on equality).
    Under the IoU `threshold` it is a false positive; on a difficult object it is ignored; a second hit is a false
    positive.
    """
    rows, first, last = _candidates(objects, ranked)
    found = take(objects, rows)
    outcomes, hits = _match_best(
        inclusive(ranked.boxes), first, last, inclusive(found.boxes), found.difficult, threshold
    )
    return Matches(outcomes, _rows_hit(rows, hits))


def inside_regions(regions: ObjectTable, detections: DetectionTable) -> Float64:
    """The largest share (M,) of each detection's area that lies in one region of its image and class, or 0."""
    rows, first, last = _candidates(regions, detections)
    return _share_inside(inclusive(detections.boxes), first, last, inclusive(regions.boxes[rows]))


def inclusive(boxes: Float64) -> Float64:
    """`boxes` with the last pixel inside them as their second corner, as files and devkits have it."""
    return boxes - np.array([0.0, 0.0, 1.0, 1.0])


def _candidates(objects: ObjectTable, detections: DetectionTable) -> tuple[Int64, Array, Array]:
    """Object rows grouped by image and class, and each detection's group as rows[first:last], in file order."""
    span = 1 + max(objects.labels.max(initial=0), detections.labels.max(initial=0))
    keys = objects.image * span + objects.labels
    rows = np.argsort(keys, kind="stable")
    wanted = detections.image * span + detections.labels
    first = np.searchsorted(keys[rows], wanted, side="left")
    last = np.searchsorted(keys[rows], wanted, side="right")
    return rows, first, last


def _rows_hit(rows: Int64, hits: Int64) -> Int64:
    """`hits` (M,), places in `rows` or -1, as what stands there or -1."""
    return np.append(rows, -1)[hits]


@njit(nogil=True)
def overlap(a, b):  # type: ignore[no-untyped-def]
    """IoU of two boxes of inclusive pixels, -1 where they share none."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return -1.0
    union = (a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - width * height
    return width * height / union


@njit(nogil=True)
def _match_unused(boxes, skipped, first, last, objects, thresholds):  # type: ignore[no-untyped-def]
    outcomes = np.zeros(len(boxes), np.int8)
    hits = np.full(len(boxes), -1, np.int64)
    used = np.zeros(len(objects), np.bool_)
    for m in range(len(boxes)):
        if skipped[m]:
            continue
        best, best_iou = -1, -1.0
        for g in range(first[m], last[m]):
            if used[g]:
                continue
            iou = overlap(boxes[m], objects[g])
            if iou > best_iou and iou >= thresholds[g]:
                best, best_iou = g, iou
        if best >= 0:
            used[best] = True
        hits[m] = best
        outcomes[m] = TRUE_POSITIVE if best >= 0 else FALSE_POSITIVE
    return outcomes, hits


@njit(nogil=True)
def _match_best(boxes, first, last, objects, difficult, threshold):  # type: ignore[no-untyped-def]
    outcomes = np.full(len(boxes), FALSE_POSITIVE, np.int8)
    hits = np.full(len(boxes), -1, np.int64)
    used = np.zeros(len(objects), np.bool_)
    for m in range(len(boxes)):
        best, best_iou = -1, -1.0
        for g in range(first[m], last[m]):
            iou = overlap(boxes[m], objects[g])
            if iou > best_iou:
                best, best_iou = g, iou
        if best < 0 or best_iou < threshold:
            continue
        hits[m] = best
        if difficult[best]:
            outcomes[m] = IGNORED
        elif not used[best]:
            used[best] = True
            outcomes[m] = TRUE_POSITIVE
    return outcomes, hits


@njit(nogil=True)
def _share_inside(boxes, first, last, regions):  # type: ignore[no-untyped-def]
    best = np.zeros(len(boxes))
    for m in range(len(boxes)):
        left, top, right, bottom = boxes[m]
        for k in range(first[m], last[m]):
            width = min(right, regions[k, 2]) - max(left, regions[k, 0]) + 1
            height = min(bottom, regions[k, 3]) - max(top, regions[k, 1]) + 1
            if width > 0 and height > 0:
                best[m] = max(best[m], width * height / ((right - left + 1) * (bottom - top + 1)))
    return best
