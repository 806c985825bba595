"""One evaluation of a data set's detections by a protocol."""

import numpy as np

from detector.evaluation.average_precision import average_precision, precision_recall
from detector.evaluation.outcomes import (
    MatchedDetections,
    count_labels,
    group_by_class,
    match_detections,
    protocol_of,
)
from detector.records import DetectionTable, Float64, Int64, ObjectTable, Report

Curve = tuple[Float64, Float64]  # recall, precision


def evaluate(
    protocol: str,
    objects: ObjectTable,
    detections: DetectionTable,
    num_images: int,
    num_classes: int,
    blacklist: Int64,
) -> Report:
    """The Report by `protocol`; not all use the `blacklist` (K, 2) of image position and label."""
    matched = match_detections(protocol, objects, detections, num_images, num_classes, blacklist)
    return protocol_of(protocol).report(matched)


def report_over_objects(matched: MatchedDetections) -> Report:
    """The AP of each class that has objects, averaged over the IoUs, and their mean; NaN for the others."""
    recalls = protocol_of(matched.protocol).recalls
    curves = [class_curves(matched, iou) for iou in range(len(matched.outcomes))]
    ap = np.full(matched.num_classes, np.nan)
    with_objects = np.flatnonzero(matched.positives)
    for c in with_objects:
        ap[c] = np.mean([average_precision(*each[c], recalls) for each in curves])
    return make_report(matched, ap, curves[0], ap[with_objects])


def class_curves(matched: MatchedDetections, iou: int = 0) -> tuple[Curve, ...]:
    """Each class's recall and precision, at the IoU of that number."""
    rows, edges = group_by_class(matched.detections.labels, matched.num_classes)
    grouped = matched.outcomes[iou, rows]
    return tuple(
        precision_recall(grouped[edges[c] : edges[c + 1]], int(count)) for c, count in enumerate(matched.positives)
    )


def make_report(matched: MatchedDetections, ap: Float64, curves: tuple[Curve, ...], averaged: Float64) -> Report:
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
        numbers={},
    )
