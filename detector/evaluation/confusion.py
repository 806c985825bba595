"""Which classes are taken for which, and for nothing."""

from dataclasses import dataclass, replace

import numpy as np

from detector.errors import DataError
from detector.evaluation.matching import FALSE_POSITIVE, Matches, blacklisted, inside_regions, match_unused
from detector.evaluation.outcomes import check_tables
from detector.records import BACKGROUND, FIRST_LABEL, DetectionTable, Float64, Int64, ObjectTable, take

IOU = 0.5


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """How often an object of the row's label was detected as the column's: counts (C + 1, C + 1).

    Row 0 holds the detections that hit no object, column 0 the objects that no detection hit; [0, 0] is 0.
    """

    counts: Int64


def confusion_matrix(
    objects: ObjectTable,
    detections: DetectionTable,
    num_images: int,
    num_classes: int,
    blacklist: Int64,
    thresholds: Float64,
) -> ConfusionMatrix:
    """The confusions of the detections that reach their class's score in `thresholds` (C,), NaN for none.

    The best score first, each takes the unused object of its image that it overlaps most, of whatever class, by at
    least 0.5. Not counted are objects and detections of a blacklisted (image, class), difficult objects and what
    hits them, and detections that hit nothing with half of their area in a crowd of their class.
    """
    check_tables(objects, detections, num_images, num_classes)
    if thresholds.shape != (num_classes,):
        raise DataError(f"thresholds must have shape ({num_classes},), got {thresholds.shape}")
    unwanted = objects.crowd | blacklisted(objects.image, objects.labels, blacklist)
    single = take(objects, ~unwanted)
    found = _kept(detections, blacklist, thresholds)
    outcomes, hits = _match_whatever_class(single, found)
    astray = (outcomes == FALSE_POSITIVE) & (inside_regions(take(objects, objects.crowd), found) < IOU)
    missed = ~single.difficult
    missed[hits[hits >= 0]] = False
    hit = (hits >= 0) & ~np.append(single.difficult, False)[hits]
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    np.add.at(counts, (single.labels[hits[hit]], found.labels[hit]), 1)
    counts[BACKGROUND] = np.bincount(found.labels[astray], minlength=num_classes + 1)
    counts[:, BACKGROUND] = np.bincount(single.labels[missed], minlength=num_classes + 1)
    return ConfusionMatrix(counts)


def most_confused(matrix: ConfusionMatrix, count: int) -> Int64:
    """Rows (K, 3) of object label, detected label and number: the `count` most frequent confusions of two classes.

    The most frequent is first, of equal ones the one with the lower labels; what never happened is left out.
    """
    counts = matrix.counts.copy()
    counts[BACKGROUND], counts[:, BACKGROUND] = 0, 0
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:count]
    pairs = np.stack(np.unravel_index(order, counts.shape), axis=1)
    numbers = counts.ravel()[order]
    return np.column_stack([pairs, numbers])[numbers > 0].astype(np.int64)


def _kept(detections: DetectionTable, blacklist: Int64, thresholds: Float64) -> DetectionTable:
    """The detections that count, best first."""
    reached = detections.scores >= thresholds[detections.labels - FIRST_LABEL]
    found = take(detections, reached & ~blacklisted(detections.image, detections.labels, blacklist))
    return take(found, np.argsort(-found.scores, kind="stable"))


def _match_whatever_class(objects: ObjectTable, ranked: DetectionTable) -> Matches:
    """The matches when all are of one class."""
    return match_unused(
        replace(objects, labels=np.full_like(objects.labels, FIRST_LABEL)),
        replace(ranked, labels=np.full_like(ranked.labels, FIRST_LABEL)),
        np.full(len(objects.labels), IOU),
        np.zeros(len(ranked.labels), np.bool_),
    )
