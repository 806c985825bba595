"""A data set's detections, ranked and matched once by a protocol's rule: what every further count starts from.

Whether a detection hits depends on its own image alone. So the same outcomes serve for subsets of the images,
for resampled images, and for detections above a score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detector.choices import PROTOCOLS, chosen_module
from detector.errors import DataError
from detector.evaluation.average_precision import AT_EVERY_OBJECT
from detector.evaluation.matching import Matches, Outcomes
from detector.records import FIRST_LABEL, Bool, DetectionTable, Float64, Int64, ObjectTable, Report

NO_BLACKLIST: Int64 = np.empty((0, 2), np.int64)


@dataclass(frozen=True, eq=False)
class MatchedDetections:
    """The detections that a protocol looks at in the order it ranks them, and what each came to.

    outcomes (T, M) i8 and hits (T, M) i64, rows of `objects` or -1, at each of the protocol's T IoUs, of which
    curves and pictures show the first. counted (G,) are the objects that should be found.
    """

    protocol: str
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


@dataclass(frozen=True, eq=False)
class EvaluationProtocol:
    """A protocol, as the module that `detector.choices.PROTOCOLS` names has it in `PROTOCOL`.

    Pages call it by its `words`, or by its `title` and `meaning`. `rank` gives the detections that it looks at,
    the best first, and `counts` masks (G,) the objects that should be found. `match` gives the matches of any
    detections that are ranked best first, at each of its IoUs; `report` makes the Report of all.

    recalls (R,) are those at which AP reads precision, none for every object's. Where AP is over several IoUs
    `curves_at` says of which, the first, the curves are. `numbers` says what each of the further numbers of a
    report means. `of_coco_files`, where there is one, evaluates COCO's own files, without the rounding of tables.
    A protocol that `uses_blacklist` leaves out what is blacklisted.
    """

    words: str
    title: str
    meaning: str
    rank: Callable[[ObjectTable, DetectionTable], DetectionTable]
    counts: Callable[[ObjectTable, Int64], Bool]
    match: Callable[[ObjectTable, DetectionTable, Int64], list[Matches]]
    report: Callable[[MatchedDetections], Report]
    recalls: Float64 = field(default_factory=AT_EVERY_OBJECT.copy)
    curves_at: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)
    of_coco_files: Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], Report] | None = None
    uses_blacklist: bool = False


def protocol_of(name: str) -> EvaluationProtocol:
    """The protocol of that name."""
    found: EvaluationProtocol = chosen_module(PROTOCOLS, name).PROTOCOL
    return found


def match_detections(
    protocol: str,
    objects: ObjectTable,
    detections: DetectionTable,
    num_images: int,
    num_classes: int,
    blacklist: Int64,
) -> MatchedDetections:
    """The `detections` ranked and matched as `protocol` does; not all use the `blacklist` (K, 2)."""
    check_tables(objects, detections, num_images, num_classes)
    rule = protocol_of(protocol)
    ranked = rule.rank(objects, detections)
    found = rule.match(objects, ranked, blacklist)
    outcomes, hits = np.stack([m.outcomes for m in found]), np.stack([m.objects for m in found])
    counted = rule.counts(objects, blacklist)
    return MatchedDetections(protocol, objects, counted, ranked, outcomes, hits, num_images, num_classes)


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
