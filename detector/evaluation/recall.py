"""How well region proposals cover the objects of a data set, whatever is found in them later.

An object's overlap is the best IoU of any proposal among the first n of its image (Hosang et al., "What makes for
effective detection proposals?", arXiv 1502.05082). Boxes are not matched one to one: one may serve several
objects, so the numbers are never under those of programs that match. IoU is of continuous boxes, the objects' as
the files state them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from detector.errors import DataError
from detector.evaluation.matching import blacklisted
from detector.jit import njit
from detector.records import FIRST_LABEL, Array, Bool, Float64, Int64, ObjectTable, take

LOWEST_IOU = 0.5  # of the average recall, which goes from here to 1 (Hosang et al.)
CURVE_BUDGETS = tuple(np.unique(np.geomspace(1, 10_000, 33).round().astype(int)).tolist())  # eight a decade
SMALL, LARGE = 32.0**2, 96.0**2  # square pixels of the image file, as COCO's


@dataclass(frozen=True, eq=False)
class Coverage:
    """The overlaps of the objects of a data set, for several numbers of proposals an image.

    budgets (K,) i64 rise, and the last is the most boxes that an image has: its column is of all boxes.
    overlaps (G, K) f64 are each object's among the first budgets[k] boxes of its image, 0 where no box touches
    it; mean_boxes (K,) f64 is how many boxes an image then has; labels (G,) i64, areas (G,) f64 in square pixels.
    """

    images: int
    labels: Int64
    areas: Float64
    budgets: Int64
    mean_boxes: Float64
    overlaps: Float64


@dataclass(frozen=True, eq=False)
class ClassRecall:
    """Numbers of the classes 1..C, each (C,): NaN where a class has no object, but for `objects`.

    `best_overlap` is the average best overlap (ABO) of Uijlings et al., IJCV 2013, section 5; its mean over the
    classes is MABO.
    """

    objects: Int64
    recall: Float64
    average_recall: Float64
    best_overlap: Float64


def counted_objects(objects: ObjectTable, blacklist: Int64) -> ObjectTable:
    """The objects that proposals are to find.

    Left out are difficult objects, crowds, boxes without area, and those whose (image, label) is a row of
    `blacklist` (K, 2).
    """
    with_area = (objects.boxes[:, 2:] > objects.boxes[:, :2]).all(axis=1)
    unwanted = objects.difficult | objects.crowd | blacklisted(objects.image, objects.labels, blacklist)
    return take(objects, with_area & ~unwanted)


def measure_coverage(objects: ObjectTable, proposals: Iterable[Array], budgets: Sequence[int]) -> Coverage:
    """The coverage of `objects`, all of which count, by the boxes (n, 4) of images 0, 1, 2, ..., best first.

    One image's boxes are held at a time. Of `budgets` (from 1, in any order) those stay that are under the most
    boxes of an image, before the last column, which is of all boxes.
    """
    wanted = np.unique(np.array(budgets, np.int64))
    order = np.argsort(objects.image, kind="stable")
    starts = np.searchsorted(objects.image[order], np.arange(objects.image.max(initial=-1) + 2))
    overlaps = np.zeros((len(order), len(wanted) + 1))
    counts = []
    for image, boxes in enumerate(proposals):
        counts.append(len(boxes))
        rows = order[slice(*starts[image : image + 2])] if image + 1 < len(starts) else order[:0]
        if len(rows):
            overlaps[rows] = _best_overlaps(objects.boxes[rows], np.array(boxes, np.float64), wanted)
    if len(counts) + 1 < len(starts):
        raise DataError(f"proposals must be of all {len(starts) - 1} images with objects, got {len(counts)}")
    most = max(counts, default=0)
    used = np.flatnonzero(wanted < most)
    budgets_used = np.append(wanted[used], most)
    return Coverage(
        images=len(counts),
        labels=objects.labels,
        areas=objects.areas,
        budgets=budgets_used,
        mean_boxes=np.minimum(np.array(counts)[:, None], budgets_used).mean(axis=0) if counts else np.zeros(1),
        overlaps=overlaps[:, np.append(used, len(wanted))],
    )


def recall_at(overlaps: Float64, iou: float) -> Float64:
    """The share of the objects whose overlap is at least `iou`: (K,) of overlaps (G, K); NaN of no object."""
    return _mean(overlaps >= iou)


def average_recall(overlaps: Float64) -> Float64:
    """Twice the area under the recall at IoU 0.5 to 1, exactly: (K,) in 0..1 of (G, K); NaN of no object.

    An object of overlap o adds to the recall up to the IoU o, and so o - 0.5 to the area (Hosang et al.).
    """
    return _mean(np.maximum(overlaps - LOWEST_IOU, 0)) / (1 - LOWEST_IOU)


def size_masks(areas: Float64) -> dict[str, Bool]:
    """Masks (G,) of the small, medium and large objects: of areas under 32**2, under 96**2, and from there."""
    return {"small": areas < SMALL, "medium": (areas >= SMALL) & (areas < LARGE), "large": areas >= LARGE}


def class_recall(coverage: Coverage, num_classes: int, column: int = -1) -> ClassRecall:
    """The numbers of each class, at IoU 0.5 where one is needed, for the budget of `column`: all boxes at -1."""
    overlaps = coverage.overlaps[:, column]
    rows = coverage.labels - FIRST_LABEL
    objects = np.bincount(rows, minlength=num_classes)

    def means(values: Array) -> Float64:
        sums = np.bincount(rows, values, num_classes)
        return np.divide(sums, objects, out=np.full(num_classes, np.nan), where=objects > 0)

    return ClassRecall(
        objects=objects,
        recall=means(overlaps >= LOWEST_IOU),
        average_recall=means(np.maximum(overlaps - LOWEST_IOU, 0)) / (1 - LOWEST_IOU),
        best_overlap=means(overlaps),
    )


def _mean(values: Array) -> Float64:
    """The mean over the first axis, NaN where it has no rows."""
    return values.mean(axis=0) if len(values) else np.full(values.shape[1:], np.nan)


@njit(nogil=True)
def _best_overlaps(objects, boxes, budgets):  # type: ignore[no-untyped-def]
    """Best IoU (G, K + 1) of each object among the first budgets[k] boxes, and last among all of them."""
    best = np.zeros((len(objects), len(budgets) + 1))
    for g in range(len(objects)):
        left, top, right, bottom = objects[g]
        area = (right - left) * (bottom - top)
        highest, column = 0.0, 0
        for n in range(len(boxes)):
            while column < len(budgets) and budgets[column] <= n:
                best[g, column] = highest
                column += 1
            width = min(right, boxes[n, 2]) - max(left, boxes[n, 0])
            height = min(bottom, boxes[n, 3]) - max(top, boxes[n, 1])
            if width > 0 and height > 0:
                inter = width * height
                own = (boxes[n, 2] - boxes[n, 0]) * (boxes[n, 3] - boxes[n, 1])
                highest = max(highest, inter / (area + own - inter))
        best[g, column:] = highest
    return best
