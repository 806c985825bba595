"""One evaluation of a data set's detections, by ILSVRC's rule or by one of VOC's; COCO's is in `coco`."""

from collections.abc import Callable

import numpy as np

from detector.evaluation.average_precision import area_under_envelope, eleven_point_average, precision_recall
from detector.evaluation.coco_rule import evaluate_coco
from detector.evaluation.outcomes import (
    NO_BLACKLIST,
    MatchedDetections,
    Protocol,
    check_tables,
    count_labels,
    group_by_class,
    match_detections,
)
from detector.records import DetectionTable, Float64, Int64, ObjectTable, Report

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
    matched = match_detections("ilsvrc", objects, detections, num_images, num_classes, blacklist)
    last_label = int(objects.labels.max(initial=0))
    curves = _curves(matched)
    ap = np.array([area_under_envelope(*curve) for curve in curves])
    ap[last_label:] = np.nan
    return _report(matched, ap, curves, ap[:last_label])


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


def _evaluate_voc(
    protocol: Protocol,
    objects: ObjectTable,
    detections: DetectionTable,
    num_images: int,
    num_classes: int,
    average_precision: AveragePrecision,
) -> Report:
    matched = match_detections(protocol, objects, detections, num_images, num_classes, NO_BLACKLIST)
    curves = _curves(matched)
    ap = np.full(num_classes, np.nan)
    with_objects = np.flatnonzero(matched.positives)
    for c in with_objects:
        ap[c] = average_precision(*curves[c])
    return _report(matched, ap, curves, ap[with_objects])


def _curves(matched: MatchedDetections) -> tuple[Curve, ...]:
    """Each class's recall and precision."""
    rows, edges = group_by_class(matched.detections.labels, matched.num_classes)
    grouped = matched.outcomes[0, rows]
    return tuple(
        precision_recall(grouped[edges[c] : edges[c + 1]], int(count)) for c, count in enumerate(matched.positives)
    )


def _report(matched: MatchedDetections, ap: Float64, curves: tuple[Curve, ...], averaged: Float64) -> Report:
    """A Report whose mean and median are those of `averaged`, the AP of the classes the protocol averages."""
    with_objects = ap[matched.positives > 0]
    return Report(
        protocol=matched.protocol,
        ap=ap,
        objects=matched.positives,
        detections=count_labels(matched.detections.labels, matched.num_classes),
        mean_ap=float(averaged.mean()) if averaged.size else float("nan"),
        median_ap=float(np.median(averaged)) if averaged.size else float("nan"),
        mean_ap_with_objects=float(with_objects.mean()) if with_objects.size else float("nan"),
        recall=tuple(recall for recall, _ in curves),
        precision=tuple(precision for _, precision in curves),
        coco={},
    )
