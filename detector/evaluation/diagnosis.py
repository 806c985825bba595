"""What a detector's errors are and what each kind costs: TIDE (Bolya et al., ECCV 2020, arXiv 2008.08115).

Every detection that hits nothing is an error of one type, every object that no detection comes near is a miss, and a
type's cost is what mAP would gain if its errors were repaired and nothing else. The numbers follow the authors'
program `tidecv` 1.0.1, also where the paper says less:

- the best 100 detections of an image count, of all classes together (its default);
- AP is COCO's, over 101 recalls, at IoU 0.5; a class with detections and no object counts as 0 in the mean, and one
  that a repair leaves without either leaves the mean;
- a repaired detection becomes a hit only if its object is not hit and no better-scored error is nearest to it too;
  else it is removed; among equal scores the errors rank before the hits once anything is repaired;
- crowds are regions to ignore: a detection of the class that hits nothing, with more than half of its area in one, is
  no false positive. It is an error for the counts all the same, and can be repaired.

Difficult objects are regions to ignore like crowds, as in the COCO files of VOC. In a blacklisted (image, class) the
objects do not count and the class's detections are ignored.
"""

from dataclasses import dataclass

import numpy as np

from detector.evaluation.average_precision import mean_height, precision_recall
from detector.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Outcomes
from detector.evaluation.matching import blacklisted, inside_regions, match_unused
from detector.evaluation.neighbours import nearest_objects
from detector.evaluation.outcomes import check_tables, count_labels, group_by_class
from detector.records import Bool, DetectionTable, Float64, Int64, ObjectTable, take

TYPES = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
CLASS, LOCALISATION, BOTH, DUPLICATE, BACKGROUND_ERROR, MISS = range(6)
NO_ERROR, NOT_LOOKED_AT = -1, -2
FOREGROUND_IOU = 0.5  # t_f of the paper's section 2.2
BACKGROUND_IOU = 0.1  # t_b
MAX_DETECTIONS = 100  # of an image
RECALLS = np.arange(101) / 100  # tidecv's; a few differ from COCO's in the last bit


@dataclass(frozen=True, eq=False)
class ErrorTypes:
    """How many errors (6,) of each of `TYPES` there are, and what mAP would gain (6,) without them.

    mean_ap is over 0..1, as are the gains, which are not under 0. false_positive_gain is the gain if all hits ranked
    before all other detections, false_negative_gain if the objects that nothing hits did not count. types (M,) is the
    type of each given detection, -1 if it hits and -2 if it is not among the best hundred; missed (G,) are the
    objects of the misses.
    """

    mean_ap: float
    counts: Int64
    gains: Float64
    false_positive_gain: float
    false_negative_gain: float
    types: Int64
    missed: Bool


@dataclass(frozen=True, eq=False)
class _Ranking:
    """Detections that count, in any order: labels, scores and whether they hit (M,); positives (C,)."""

    labels: Int64
    scores: Float64
    hits: Bool
    positives: Int64


@dataclass(frozen=True, eq=False)
class _Errors:
    """The detections by image and score: their errors (M,) of TYPES or -1, and what would repair them.

    repaired (M,) marks the errors that would be hits, of the class `labels` (M,); the others would go.
    """

    detections: DetectionTable
    outcomes: Outcomes
    types: Int64
    repaired: Bool
    labels: Int64
    positives: Int64
    missed: Int64
    unhit: Int64


def find_errors(
    objects: ObjectTable, detections: DetectionTable, num_images: int, num_classes: int, blacklist: Int64
) -> ErrorTypes:
    """The errors of `detections` by type, and their costs."""
