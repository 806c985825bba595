"""The words and short texts of a detection report."""

import math
from typing import Any

from detector.evaluation.metrics import decimal
from detector.reports.detection.report import DetectionReport
from detector.reports.detection.to_json import Tree

PROTOCOLS = {
    "ilsvrc": "ILSVRC-DET: IoU 0.5, less for small objects",
    "voc2007": "PASCAL VOC 2007: IoU 0.5, 11-point average precision",
    "voc2010": "PASCAL VOC 2010: IoU 0.5, area under the curve",
    "coco": "COCO: mean over IoU 0.50 to 0.95",
}
PROTOCOL_NAMES = {"ilsvrc": "ILSVRC-DET", "voc2007": "VOC 2007", "voc2010": "VOC 2010", "coco": "COCO"}
PROTOCOL_MEANINGS = {
    "ilsvrc": "IoU 0.5, less for small objects",
    "voc2007": "IoU 0.5, 11 points",
    "voc2010": "IoU 0.5, area under the curve",
    "coco": "mean over IoU 0.50 to 0.95",
}
COCO_MEANINGS = {
    "AP": "IoU 0.50 to 0.95",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "APs": "small objects",
    "APm": "medium objects",
    "APl": "large objects",
    "AR1": "1 detection an image",
    "AR10": "10 detections an image",
    "AR100": "100 detections an image",
    "ARs": "small objects",
    "ARm": "medium objects",
    "ARl": "large objects",
}
ERRORS = {
    "Cls": ("Class", "on an object of another class"),
    "Loc": ("Place", "right class, IoU 0.1 to 0.5"),
    "Both": ("Class and place", "another class, IoU 0.1 to 0.5"),
    "Dupe": ("Duplicate", "on an object found already"),
    "Bkg": ("Background", "on no object"),
    "Miss": ("Missed", "object without any of these"),
}
MINUTE, HOUR = 60, 3600  # seconds

MeanRow = tuple[str, str, float | None, float | None]


def cards(content: DetectionReport, tree: Tree) -> list[tuple[str, str, str]]:
    """Number, name and 95% interval (or nothing) of what the report begins with, the main one first."""
    interval = interval_text(tree["mean_ap_with_objects_interval"])
    report = content.analysis.report
    own = (decimal(report.mean_ap), "mean AP", "")
    means = [own, (decimal(report.mean_ap_with_objects), "mean AP over classes with objects", interval)]
    if math.isclose(report.mean_ap, report.mean_ap_with_objects, abs_tol=1e-9):
        means = [(*own[:2], interval)]
    elif math.isnan(report.mean_ap):
        means.reverse()
    return [
        *means,
        (decimal(report.median_ap), "median AP", ""),
        (f"{content.case.num_images:,}", "images", ""),
        (f"{report.objects.sum():,}", "objects", ""),
        (f"{report.detections.sum():,}", "detections", ""),
    ]


def protocol_rows(tree: Tree) -> list[MeanRow]:
    """Name, meaning, mean AP and mean over the classes with objects of every protocol, the chosen one first."""
    trees: dict[str, Any] = {tree["protocol"]: tree, **tree["protocols"]}
    return [(PROTOCOL_NAMES[name], PROTOCOL_MEANINGS[name], *_means(row)) for name, row in trees.items()]


def method_rows(tree: Tree) -> list[MeanRow]:
    """The same of every method where there are several, the report's own last."""
    methods = tree.get("methods", {})
    return [(name, "", *_means(row)) for name, row in methods.items()] if len(methods) > 1 else []


def means_differ(rows: list[MeanRow]) -> bool:
    """Whether a protocol's mean is another than that over the classes with objects, in what is shown."""
    return any(decimal(mean) != decimal(with_objects) for *_, mean, with_objects in rows)


def _means(row: Tree) -> tuple[float | None, float | None]:
    return row["mean_ap"], row["mean_ap_with_objects"]


def interval_text(interval: list[float | None], form: str = ".3f") -> str:
    """Both ends as `form` writes numbers, nothing where they are not defined."""
    low, high = interval
    if low is None or high is None:
        return ""
    return f"{low:{form}} to {high:{form}}".replace("-", "\N{MINUS SIGN}")


def size_text(row: Tree) -> str:
    """A range of areas as the sides of squares, in pixels."""
    low, high = math.sqrt(row["from"]), row["to"]
    if high is None:
        return f"from {low:,.0f}² px"
    return f"under {math.sqrt(high):,.0f}² px" if not low else f"{low:,.0f}² to {math.sqrt(high):,.0f}² px"


def duration(seconds: float) -> str:
    """`seconds` as a person says them."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    if seconds < HOUR:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / MINUTE), MINUTE)
    return f"{hours} h {minutes} min"
