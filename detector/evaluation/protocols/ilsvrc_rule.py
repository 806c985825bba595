"""The ILSVRC-DET evaluation of the devkit's eval_detection.m.

As there, images count in the order of their positions; the classes end with the highest label that has an
object, detections of later classes are dropped (their AP is NaN and enters no mean), and a class that has
detections but no object outside the blacklist makes its AP and the mean NaN; one that has neither counts as 0.
`difficult` is not looked at.
"""

import numpy as np

from detector.evaluation.average_precision import area_under_envelope
from detector.evaluation.evaluator import class_curves, make_report
from detector.evaluation.matching import Matches, blacklisted, inclusive, match_unused
from detector.evaluation.outcomes import EvaluationProtocol, MatchedDetections
from detector.records import Bool, DetectionTable, Float64, Int64, ObjectTable, Report, take

ILSVRC_IOU = 0.5  # devkit eval_detection.m: defaultIOUthr
ILSVRC_TOLERANCE = 10.0  # devkit eval_detection.m: pixelTolerance


def rank_known_classes(objects: ObjectTable, detections: DetectionTable) -> DetectionTable:
    """The detections up to the highest label that has an object, the best first, on equality by image."""
    known = take(detections, detections.labels <= objects.labels.max(initial=0))
    return take(known, np.lexsort((known.image, -known.scores)))


def not_blacklisted(objects: ObjectTable, blacklist: Int64) -> Bool:
    """Mask (G,) of the objects that should be found."""
    return ~blacklisted(objects.image, objects.labels, blacklist)


def ilsvrc_thresholds(boxes: Float64) -> Float64:
    """The IoU (G,) each object must be hit with: min(0.5, wh / ((w + 10)(h + 10))), less than 0.5 if small."""
    width, height = inclusive(boxes)[:, 2:].T - boxes[:, :2].T + 1
    with np.errstate(divide="ignore", invalid="ignore"):  # inverted boxes, which nothing overlaps
        own = (width * height) / ((width + ILSVRC_TOLERANCE) * (height + ILSVRC_TOLERANCE))
    return np.minimum(ILSVRC_IOU, own)


def match_ilsvrc(objects: ObjectTable, ranked: DetectionTable, blacklist: Int64) -> Matches:
    """The matches of the detections `ranked` best first.

    `match_unused` with the objects' own thresholds; detections of a blacklisted (image, class) are ignored.
    """
    skipped = blacklisted(ranked.image, ranked.labels, blacklist)
    return match_unused(objects, ranked, ilsvrc_thresholds(objects.boxes), skipped)


def report_ilsvrc(matched: MatchedDetections) -> Report:
    """The report, whose mean is over all classes up to the last one with an object."""
    last_label = int(matched.objects.labels.max(initial=0))
    curves = class_curves(matched)
    ap = np.array([area_under_envelope(*curve) for curve in curves])
    ap[last_label:] = np.nan
    return make_report(matched, ap, curves, ap[:last_label])


PROTOCOL = EvaluationProtocol(
    words="ILSVRC-DET: IoU 0.5, less for small objects",
    title="ILSVRC-DET",
    meaning="IoU 0.5, less for small objects",
    rank=rank_known_classes,
    counts=not_blacklisted,
    match=lambda objects, ranked, blacklist: [match_ilsvrc(objects, ranked, blacklist)],
    report=report_ilsvrc,
    uses_blacklist=True,
)
