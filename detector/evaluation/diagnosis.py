"""What a detector's errors are and what each kind costs: TIDE (Bolya et al., ECCV 2020, arXiv 2008.08115).

A detection that hits nothing is an error of one type; an object that no detection comes near is a miss. What a
type costs is what mAP would gain if its errors were repaired and nothing else. The numbers are those of the
authors' program `tidecv` 1.0.1, also where the paper says less:

- the best 100 detections of an image are looked at, of all classes together (its default);
- AP is COCO's over 101 recalls, at IoU 0.5; a class with detections and no object counts as 0 in the mean, and one
  that a repair leaves without either leaves the mean;
- an error is repaired to a hit if its object is not hit and is nearest to no better-scored error, else removed;
- once something is repaired, errors rank before hits of the same score;
- crowds are ignored: a detection that hits nothing, with more than half of its area in a crowd of its class, is no
  false positive. It is counted among the errors all the same, and can be repaired.

Difficult objects are ignored as crowds are, as in COCO files of VOC. In a blacklisted (image, class) the objects
do not count and the detections are ignored.
"""

from dataclasses import dataclass

import numpy as np

from detector.evaluation.average_precision import mean_height, precision_recall
from detector.evaluation.matching import (
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    Outcomes,
    blacklisted,
    inside_regions,
    match_unused,
)
from detector.evaluation.neighbours import Neighbours, nearest_objects
from detector.evaluation.outcomes import check_tables, count_labels, group_by_class
from detector.records import Bool, DetectionTable, Float64, Int64, ObjectTable, take

TYPES = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
CLASS, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISS = range(6)
NO_ERROR, NOT_LOOKED_AT = -1, -2
FOREGROUND_IOU = 0.5  # t_f of the paper's section 2.2
BACKGROUND_IOU = 0.1  # t_b
MAX_DETECTIONS = 100  # of an image
RECALLS: Float64 = np.arange(101) / 100  # as tidecv has them; some differ from COCO's in the last bit


@dataclass(frozen=True, eq=False)
class ErrorTypes:
    """How many errors (6,) of each of `TYPES` there are, and what mAP in 0..1 would gain (6,) without them.

    Gains are at least 0, and NaN where a repair leaves no class to average. false_positive_gain is the gain if
    every hit ranked before every other detection, false_negative_gain if the objects that nothing hits did not
    count (under 0 where that leaves a class without objects). types (M,) is the type of each detection, -1 if it
    hits and -2 if it is not among the image's best hundred; missed (G,) marks the objects of the misses.
    """

    mean_ap: float
    counts: Int64
    gains: Float64
    false_positive_gain: float
    false_negative_gain: float
    types: Int64
    missed: Bool


@dataclass(frozen=True, eq=False)
class _Found:
    """The detections (M,) looked at and the objects (G,) that count, with everything that was found out.

    repaired_labels (M,) are the labels with which errors would be hits, 0 for those that repair removes.
    """

    labels: Int64
    scores: Float64
    outcomes: Outcomes
    types: Int64
    repaired_labels: Int64
    object_labels: Int64
    unhit: Bool
    missed: Bool


def find_errors(
    objects: ObjectTable, detections: DetectionTable, num_images: int, num_classes: int, blacklist: Int64
) -> ErrorTypes:
    """The errors of `detections` by type, and what they cost; mean_ap is NaN without objects and detections."""
    check_tables(objects, detections, num_images, num_classes)
    rows = _best_of_each_image(detections)
    regions = objects.crowd | objects.difficult
    counted = np.flatnonzero(~regions & ~blacklisted(objects.image, objects.labels, blacklist))
    found = _find(take(objects, counted), take(objects, regions), take(detections, rows), blacklist)
    types = np.full(len(detections.labels), NOT_LOOKED_AT, np.int64)
    types[rows] = found.types
    missed = np.zeros(len(objects.labels), np.bool_)
    missed[counted] = found.missed
    counts = np.bincount(found.types[found.types >= 0], minlength=len(TYPES))
    counts[MISS] = found.missed.sum()
    return _with_costs(found, num_classes, counts, types, missed)


def _find(objects: ObjectTable, regions: ObjectTable, detections: DetectionTable, blacklist: Int64) -> _Found:
    """What there is to know of `detections`, best first in each image, and `objects`, all of which count."""
    thresholds = np.full(len(objects.labels), FOREGROUND_IOU)
    outcomes, hits = match_unused(objects, detections, thresholds, np.zeros(len(detections.labels), np.bool_))
    near = nearest_objects(objects, detections)
    types = _types(outcomes, near)
    unhit = _all_but(hits[hits >= 0], len(objects.labels))
    rows, targets = _repairs(types, near, unhit)
    repaired_labels = np.zeros(len(types), np.int64)
    repaired_labels[rows] = objects.labels[targets]
    ignored = inside_regions(regions, detections) > FOREGROUND_IOU
    ignored |= blacklisted(detections.image, detections.labels, blacklist)
    return _Found(
        labels=detections.labels,
        scores=detections.scores,
        outcomes=np.where(ignored & (outcomes == FALSE_POSITIVE), IGNORED, outcomes).astype(np.int8),
        types=types,
        repaired_labels=repaired_labels,
        object_labels=objects.labels,
        unhit=unhit,
        missed=unhit & _all_but(targets, len(unhit)),
    )


def _types(outcomes: Outcomes, near: Neighbours) -> Int64:
    """The error (M,) of each detection, by the first that applies, in the order of tidecv."""
    conditions = {
        NO_ERROR: outcomes == TRUE_POSITIVE,
        LOCALISATION: (near.same_iou >= BACKGROUND_IOU) & (near.same_iou <= FOREGROUND_IOU),
        CLASS: near.other_iou >= FOREGROUND_IOU,
        DUPLICATE: near.same_iou > FOREGROUND_IOU,  # of an object that is hit, or it would have been
        BACKGROUND: np.maximum(near.same_iou, near.other_iou) <= BACKGROUND_IOU,
    }
    return np.select(list(conditions.values()), list(conditions), BOTH).astype(np.int64)


def _repairs(types: Int64, near: Neighbours, unhit: Bool) -> tuple[Int64, Int64]:
    """Rows of the detections that a repair would turn into hits, and the objects they would hit.

    Of the errors near one object it is the best-scored, which is the first.
    """
    targets = np.select([types == LOCALISATION, types == CLASS], [near.same_row, near.other_row], -1)
    repairable = np.flatnonzero((targets >= 0) & np.append(unhit, False)[targets])
    wanted, first = np.unique(targets[repairable], return_index=True)
    return repairable[first], wanted


def _with_costs(found: _Found, num_classes: int, counts: Int64, types: Int64, missed: Bool) -> ErrorTypes:
    everything = np.ones(len(found.object_labels), np.bool_)
    by_score = np.argsort(-found.scores, kind="stable")
    hit = found.outcomes == TRUE_POSITIVE
    errors_first = np.lexsort((hit, -found.scores))

    def mean_ap(order: Int64, labels: Int64, outcomes: Outcomes, counted: Bool) -> float:
        positives = count_labels(found.object_labels[counted], num_classes)
        return _mean_ap(labels[order], outcomes[order], positives)

    def without(kind: int) -> float:
        repaired = np.where(found.repaired_labels > 0, TRUE_POSITIVE, IGNORED).astype(np.int8)
        affected = found.types == kind
        return mean_ap(
            errors_first,
            np.where(affected & (found.repaired_labels > 0), found.repaired_labels, found.labels),
            np.where(affected, repaired, found.outcomes),
            ~found.missed if kind == MISS else everything,
        )

    own = mean_ap(by_score, found.labels, found.outcomes, everything)
    hits_first = np.argsort(~hit, kind="stable")
    return ErrorTypes(
        mean_ap=own,
        counts=counts,
        gains=np.maximum([without(kind) - own for kind in range(len(TYPES))], 0),
        false_positive_gain=mean_ap(hits_first, found.labels, found.outcomes, everything) - own,
        false_negative_gain=mean_ap(errors_first, found.labels, found.outcomes, ~found.unhit) - own,
        types=types,
        missed=missed,
    )


def _mean_ap(labels: Int64, outcomes: Outcomes, positives: Int64) -> float:
    """tidecv's mean AP of detections, best first, over the classes with objects or detections that count."""
    rows, edges = group_by_class(labels, len(positives))
    grouped = outcomes[rows]
    aps = []
    for c, count in enumerate(positives):
        own = grouped[edges[c] : edges[c + 1]]
        if count:
            aps.append(mean_height(*precision_recall(own, int(count)), RECALLS))
        elif (own != IGNORED).any():
            aps.append(0.0)
    return float(np.mean(aps)) if aps else float("nan")


def _best_of_each_image(detections: DetectionTable) -> Int64:
    """Rows of the best hundred detections of each image, image by image, best first, in file order on equality."""
    rows = np.lexsort((-detections.scores, detections.image))
    image = detections.image[rows]
    places = np.arange(len(rows)) - np.searchsorted(image, image, side="left")
    return rows[places < MAX_DETECTIONS]


def _all_but(rows: Int64, count: int) -> Bool:
    mask = np.ones(count, np.bool_)
    mask[rows] = False
    return mask
