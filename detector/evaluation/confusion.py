"""Which classes are taken for which, and for nothing."""

from dataclasses import dataclass, replace

import numpy as np

from detector.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE, blacklisted, inside_regions, match_unused
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
    least 0.5. Not counted are the objects and detections of a blacklisted (image, class), difficult objects and what
    hits them, and detections that hit nothing with half of their area in a crowd of their class.
    """
    check_tables(objects, detections, num_images, num_classes)
    found = take(detections, detections.scores >= thresholds[detections.labels - FIRST_LABEL])
    found = take(found, ~blacklisted(found.image, found.labels, blacklist))
    found = take(found, np.argsort(-found.scores, kind="stable"))
    crowds = take(objects, objects.crowd)
    unwanted = objects.crowd | blacklisted(objects.image, objects.labels, blacklist)
    single = take(objects, ~unwanted)
    matches = match_unused(
        replace(single, labels=np.full_like(single.labels, FIRST_LABEL)),
        replace(found, labels=np.full_like(found.labels, FIRST_LABEL)),
        np.full(len(single.labels), IOU),
        np.zeros(len(found.labels), np.bool_),
    )
    astray = (matches.outcomes == FALSE_POSITIVE) & (inside_regions(crowds, found) < IOU)
    hit = matches.objects[matches.outcomes == TRUE_POSITIVE]
    missed = np.ones(len(single.labels), np.bool_)
    missed[hit] = False
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    counted_hit = ~single.difficult[hit]
    detected = found.labels[matches.outcomes == TRUE_POSITIVE]
    np.add.at(counts, (single.labels[hit][counted_hit], detected[counted_hit]), 1)
    np.add.at(counts, (BACKGROUND, found.labels[astray]), 1)
    np.add.at(counts, (single.labels[missed & ~single.difficult], BACKGROUND), 1)
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
