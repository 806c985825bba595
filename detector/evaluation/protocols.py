"""One evaluation of a data set's detections, by ILSVRC's rule or by one of VOC's; COCO's is in `coco`."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from detector.errors import DataError
from detector.evaluation.average_precision import area_under_envelope, eleven_point_average, precision_recall
from detector.evaluation.coco import evaluate_coco
from detector.evaluation.matching import Outcomes, blacklisted, match_ilsvrc, match_voc
from detector.records import FIRST_LABEL, DetectionTable, Float64, Int64, ObjectTable, Report, take

Protocol = Literal["ilsvrc", "voc2007", "voc2010", "coco"]
Curve = tuple[Float64, Float64]  # recall, precision
AveragePrecision = Callable[[Float64, Float64], float]


def evaluate(
    protocol: Protocol,
    objects: ObjectTable,
    detections: DetectionTable,
    num_images: int,
    num_classes: int,
    blacklist: Int64,
) -> Report:
    """The Report by `protocol`; only "ilsvrc" uses the `blacklist` (K, 2) of image position and label."""
    match protocol:
        case "ilsvrc":
            return evaluate_ilsvrc(objects, detections, num_images, num_classes, blacklist)
        case "voc2007":
            return evaluate_voc2007(objects, detections, num_images, num_classes)
        case "voc2010":
            return evaluate_voc2010(objects, detections, num_images, num_classes)
        case "coco":
            check_tables(objects, detections, num_images, num_classes)
            return evaluate_coco(objects, detections, num_images, num_classes)


def evaluate_ilsvrc(
    objects: ObjectTable, detections: DetectionTable, num_images: int, num_classes: int, blacklist: Int64
) -> Report:
    """The ILSVRC-DET evaluation of the devkit's eval_detection.m; images count in the order of their positions.

    As there, the classes end with the highest label that has an object, detections of later classes are dropped
    (their AP is NaN and enters no mean), and a class that has detections but no object outside the blacklist
    makes its AP and the mean NaN; one that has neither counts as 0. `difficult` is not looked at.
    """
    check_tables(objects, detections, num_images, num_classes)
    last_label = int(objects.labels.max(initial=0))
    known = take(detections, detections.labels <= last_label)
    ranked = take(known, np.lexsort((known.image, -known.scores)))
    outcomes = match_ilsvrc(objects, ranked, blacklist)
    counted = objects.labels[~blacklisted(objects.image, objects.labels, blacklist)]
    counts = _count(counted, num_classes)
    curves = _curves(ranked.labels, outcomes, counts)
    ap = np.array([area_under_envelope(*curve) for curve in curves])
    ap[last_label:] = np.nan
    return _report("ilsvrc", ap, counts, _count(ranked.labels, num_classes), curves, ap[:last_label])


def evaluate_voc2007(
    objects: ObjectTable, detections: DetectionTable, num_images: int, num_classes: int
) -> Report:
    """The VOC evaluation at IoU 0.5 with the average precision of 2007, over eleven recalls."""
    return _evaluate_voc("voc2007", objects, detections, num_images, num_classes, eleven_point_average)


def evaluate_voc2010(
    objects: ObjectTable, detections: DetectionTable, num_images: int, num_classes: int
) -> Report:
    """The VOC evaluation at IoU 0.5 with the average precision of 2010 and later, the area under the curve."""
    return _evaluate_voc("voc2010", objects, detections, num_images, num_classes, area_under_envelope)


def check_tables(objects: ObjectTable, detections: DetectionTable, num_images: int, num_classes: int) -> None:
    """Raise DataError unless all rows belong to images 0..num_images - 1 and classes 1..num_classes."""
    for name, table in (("objects", objects), ("detections", detections)):
        outside = (table.image < 0) | (table.image >= num_images)
        if outside.any():
            got = int(table.image[outside][0])
            raise DataError(f"{name}.image must be in 0..{num_images - 1}, got {got}")
        if table.labels.max(initial=0) > num_classes:
            raise DataError(f"{name}.labels must be in 1..{num_classes}, got {int(table.labels.max())}")


def _evaluate_voc(
    protocol: str,
    objects: ObjectTable,
    detections: DetectionTable,
    num_images: int,
    num_classes: int,
    average_precision: AveragePrecision,
) -> Report:
    check_tables(objects, detections, num_images, num_classes)
    ranked = take(detections, np.argsort(-detections.scores, kind="stable"))
    outcomes = match_voc(objects, ranked)
    counts = _count(objects.labels[~objects.difficult], num_classes)
    curves = _curves(ranked.labels, outcomes, counts)
    ap = np.full(num_classes, np.nan)
    for c in np.flatnonzero(counts):
        ap[c] = average_precision(*curves[c])
    return _report(protocol, ap, counts, _count(ranked.labels, num_classes), curves, ap[counts > 0])


def _count(labels: Int64, num_classes: int) -> Int64:
    """How often each label 1..C occurs, (C,)."""
    return np.bincount(labels, minlength=num_classes + 1)[FIRST_LABEL:].astype(np.int64)


def _curves(labels: Int64, outcomes: Outcomes, counts: Int64) -> tuple[Curve, ...]:
    """Each class's recall and precision, from labels and outcomes (M,) in order of falling score."""
    rows = np.argsort(labels, kind="stable")
    edges = np.searchsorted(labels[rows], np.arange(FIRST_LABEL, len(counts) + FIRST_LABEL + 1))
    grouped = outcomes[rows]
    return tuple(precision_recall(grouped[edges[c] : edges[c + 1]], int(counts[c])) for c in range(len(counts)))


def _report(
    protocol: str,
    ap: Float64,
    objects: Int64,
    detections: Int64,
    curves: tuple[Curve, ...],
    averaged: Float64,
) -> Report:
    """A Report whose mean and median are those of `averaged`, the AP of the classes the protocol averages."""
    with_objects = ap[objects > 0]
    return Report(
        protocol=protocol,
        ap=ap,
        objects=objects,
        detections=detections,
        mean_ap=float(averaged.mean()) if averaged.size else float("nan"),
        median_ap=float(np.median(averaged)) if averaged.size else float("nan"),
        mean_ap_with_objects=float(with_objects.mean()) if with_objects.size else float("nan"),
        recall=tuple(recall for recall, _ in curves),
        precision=tuple(precision for _, precision in curves),
        coco={},
    )
