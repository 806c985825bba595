"""Which detections hit which objects by VOC's rule, in all of its years (VOCevaldet.m)."""

import numpy as np

from detector.evaluation.matching import Matches, match_best
from detector.records import Bool, DetectionTable, Int64, ObjectTable, take

VOC_IOU = 0.5


def rank_by_score(objects: ObjectTable, detections: DetectionTable) -> DetectionTable:
    """All detections, the best first, on equality in file order."""
    return take(detections, np.argsort(-detections.scores, kind="stable"))


def not_difficult(objects: ObjectTable, blacklist: Int64) -> Bool:
    """Mask (G,) of the objects that should be found."""
    return ~objects.difficult


def match_voc(objects: ObjectTable, ranked: DetectionTable) -> Matches:
    """The matches of the detections `ranked` best first.

    Each looks at the object of its image and class that it overlaps most, used or not (the first on equality).
    Under IoU 0.5 it is a false positive; on a difficult object it is ignored; a second hit is a false positive.
    """
    return match_best(objects, ranked, VOC_IOU)


def match_voc_detections(objects: ObjectTable, ranked: DetectionTable, blacklist: Int64) -> list[Matches]:
    """The one set of matches; VOC has no blacklist."""
    return [match_voc(objects, ranked)]
