"""A data set's detections, ranked and matched once by a protocol's rule: what every further count starts from.

Whether a detection hits depends on its own image alone. So the same outcomes serve for subsets of the images,
for resampled images, and for detections above a score.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from detector.errors import DataError
from detector.evaluation.matching import (
    FALSE_POSITIVE,
    IGNORED,
    Matches,
    Outcomes,
    blacklisted,
    inside_regions,
    match_ilsvrc,
    match_unused,
    match_voc,
)
from detector.records import FIRST_LABEL, Bool, DetectionTable, Float64, Int64, ObjectTable, take

Protocol = Literal["ilsvrc", "voc2007", "voc2010", "coco"]

COCO_IOUS = np.linspace(0.5, 0.95, 10)  # pycocotools' iouThrs; the first is 0.5
COCO_MAX_DETECTIONS = 100  # of an image and class, the best ones
COCO_LARGEST_AREA = 1e5**2  # pycocotools' areaRng "all" begins at 0 and ends here
NO_BLACKLIST: Int64 = np.empty((0, 2), np.int64)

Matcher = Callable[[ObjectTable, DetectionTable], Matches]


@dataclass(frozen=True, eq=False)
class MatchedDetections:
    """The detections that a protocol looks at in the order it ranks them, and what each came to.

    outcomes (T, M) i8 and hits (T, M) i64, rows of `objects` or -1: T is 10 for COCO, whose first IoU is 0.5,
    and 1 for the others. counted (G,) are the objects that should be found.
    """

    protocol: Protocol
    objects: ObjectTable
    counted: Bool
    detections: DetectionTable
    outcomes: Outcomes
    hits: Int64
    num_images: int
    num_classes: int

    @property
    def positives(self) -> Int64:
        """The number (C,) of counted objects of each class."""
        return count_labels(self.objects.labels[self.counted], self.num_classes)


def match_detections(
    protocol: Protocol,
    objects: ObjectTable,
    detections: DetectionTable,
    num_images: int,
    num_classes: int,
    blacklist: Int64,
) -> MatchedDetections:
    """The `detections` ranked and matched as `protocol` does; only "ilsvrc" uses the `blacklist` (K, 2).

    Equal scores rank by image for ILSVRC and COCO and by file order for VOC. ILSVRC drops the detections of
    classes after the highest label that has an object, COCO all but the best hundred of an image and class.
    """
    check_tables(objects, detections, num_images, num_classes)
    match protocol:
        case "ilsvrc":
            counted = ~blacklisted(objects.image, objects.labels, blacklist)
            known = take(detections, detections.labels <= objects.labels.max(initial=0))
            ranked = take(known, np.lexsort((known.image, -known.scores)))
        case "voc2007" | "voc2010":
            counted = ~objects.difficult
            ranked = take(detections, np.argsort(-detections.scores, kind="stable"))
        case "coco":
            counted = coco_counts(objects)
            ranked = _best_of_each_image_and_class(detections)
    found = match_ranked(protocol, objects, ranked, blacklist)
    outcomes, hits = np.stack([m.outcomes for m in found]), np.stack([m.objects for m in found])
    return MatchedDetections(protocol, objects, counted, ranked, outcomes, hits, num_images, num_classes)


def match_ranked(
    protocol: Protocol, objects: ObjectTable, ranked: DetectionTable, blacklist: Int64
) -> list[Matches]:
    """The matches of the detections `ranked` best first, all of them: COCO's at each of its IoUs, others' one."""
    match protocol:
        case "ilsvrc":
            return [match_ilsvrc(objects, ranked, blacklist)]
        case "voc2007" | "voc2010":
            return [match_voc(objects, ranked)]
        case "coco":
            return match_coco(objects, ranked, COCO_IOUS)


def match_coco(objects: ObjectTable, ranked: DetectionTable, ious: Float64) -> list[Matches]:
    """The matches of the detections `ranked` best first at each of `ious`, by the rule of pycocotools.

    As `match_unused` among the objects that count, but the last on equality; a detection that hits none is ignored
    if it has at least that share of its area in a crowd of its class, hits an object of an area that COCO does not
    know, or has such an area itself.
    """
    rows = np.flatnonzero(coco_counts(objects))[::-1]
    single, crowds = take(objects, rows), take(objects, objects.crowd)
    others = take(objects, ~objects.crowd & ~_is_coco_area(objects.areas))
    inside = inside_regions(crowds, ranked)
    strange = ~_is_coco_area((ranked.boxes[:, 2:] - ranked.boxes[:, :2]).prod(axis=1))
    nothing_skipped = np.zeros(len(ranked.scores), np.bool_)
    matches = []
    for iou in ious:
        outcomes, hits = match_unused(single, ranked, np.full(len(rows), iou), nothing_skipped)
        on_others = match_unused(others, ranked, np.full(len(others.labels), iou), outcomes != FALSE_POSITIVE)
        excused = (inside >= iou) | (on_others.objects >= 0) | strange
        outcomes[(outcomes == FALSE_POSITIVE) & excused] = IGNORED
        matches.append(Matches(outcomes, np.append(rows, -1)[hits]))
    return matches


def coco_counts(objects: ObjectTable) -> Bool:
    """Mask (G,) of the objects that COCO counts: no crowds, no areas below 0 (inverted boxes) or above 1e10."""
    return ~objects.crowd & _is_coco_area(objects.areas)


def _is_coco_area(areas: Float64) -> Bool:
    return (areas >= 0) & (areas <= COCO_LARGEST_AREA)


def check_tables(objects: ObjectTable, detections: DetectionTable, num_images: int, num_classes: int) -> None:
    """Raise DataError unless all rows belong to images 0..num_images - 1 and classes 1..num_classes."""
    for name, table in (("objects", objects), ("detections", detections)):
        outside = (table.image < 0) | (table.image >= num_images)
        if outside.any():
            got = int(table.image[outside][0])
            raise DataError(f"{name}.image must be in 0..{num_images - 1}, got {got}")
        if table.labels.max(initial=0) > num_classes:
            raise DataError(f"{name}.labels must be in 1..{num_classes}, got {int(table.labels.max())}")


def count_labels(labels: Int64, num_classes: int) -> Int64:
    """How often each label 1..C occurs, (C,)."""
    return np.bincount(labels, minlength=num_classes + 1)[FIRST_LABEL:].astype(np.int64)


def group_by_class(labels: Int64, num_classes: int) -> tuple[Int64, Int64]:
    """Rows by rising label, else in their order, and edges (C + 1,): class c has rows[edges[c]:edges[c + 1]]."""
    rows = np.argsort(labels, kind="stable")
    return rows, np.searchsorted(labels[rows], np.arange(FIRST_LABEL, num_classes + FIRST_LABEL + 1))


def _best_of_each_image_and_class(detections: DetectionTable) -> DetectionTable:
    """The detections COCO looks at, by falling score, on equality by image and in file order."""
    ranked = take(detections, np.lexsort((detections.image, -detections.scores)))
    pair = ranked.image * (1 + ranked.labels.max(initial=0)) + ranked.labels
    rows = np.argsort(pair, kind="stable")
    places = np.empty(len(rows), np.int64)  # among those of the same image and class
    places[rows] = np.arange(len(rows)) - np.searchsorted(pair[rows], pair[rows], side="left")
    return take(ranked, places < COCO_MAX_DETECTIONS)
