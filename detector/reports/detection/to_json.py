"""The numbers of a detection report as one tree: metrics.json, whose keys docs/report.md explains."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from detector.evaluation.confusion import ConfusionMatrix
from detector.evaluation.diagnosis import TYPES, ErrorTypes
from detector.evaluation.false_positives import KINDS, FalsePositives, mean_shares
from detector.evaluation.metrics import finite, metrics_tree
from detector.evaluation.recall import Coverage
from detector.evaluation.sizes import SizeReport
from detector.records import Array, Report
from detector.reports.detection.analysis import Analysis
from detector.reports.detection.report import DetectionReport
from detector.reports.recall_report import recall_tree

Tree = dict[str, Any]

SIZES = ("small", "medium", "large")
PROPOSAL_BUDGETS = (100, 200, 500, 1000, 2000)
SOURCE = "proposals"  # the name of the one source of regions


def report_tree(content: DetectionReport) -> Tree:
    """The numbers of `content` for strict JSON: None stands for NaN."""
    analysis, classes = content.analysis, content.case.classes
    tree = metrics_tree(analysis.report, classes, content.ids)
    rows = zip(tree["classes"], *_class_columns(analysis), strict=True)
    tree["classes"] = [{**row, **more, "ap_by_size": sizes} for row, more, sizes in rows]
    tree["images"] = content.case.num_images
    tree["mean_ap_with_objects_interval"] = listed(analysis.bootstrap.mean_ap_interval)
    tree["protocols"] = {name: _protocol(report) for name, report in analysis.others.items()}
    tree["ap_by_size"] = _sizes(analysis.sizes)
    tree["ap_by_third"] = _sizes(analysis.thirds)
    tree["confusion"] = _confusion(analysis.confusion)
    tree["errors"] = _errors(analysis.errors)
    tree["false_positives"] = _false_positives(analysis.false_positives)
    if content.methods:
        tree["methods"] = {name: means(report) for name, report in content.methods.items()}
    if content.proposals:
        tree["proposals"] = proposals_tree(content.proposals, content)["sources"][0]["rows"]
    if content.seconds:
        tree["seconds"] = dict(content.seconds)
    return tree


def means(report: Report) -> Tree:
    """The protocol's mean AP and that over the classes with objects."""
    return {"mean_ap": finite(report.mean_ap), "mean_ap_with_objects": finite(report.mean_ap_with_objects)}


def proposals_tree(coverage: Coverage, content: DetectionReport) -> Tree:
    """The numbers of the report of proposal recall, of one source."""
    return recall_tree({SOURCE: coverage}, content.case.classes, PROPOSAL_BUDGETS)


def json_text(value: Any, indent: str = "") -> str:
    """`value` as strict JSON, a line for each entry of its trees, and one for a list of numbers."""
    if isinstance(value, Mapping) and value:
        entries = [f"{json.dumps(key)}: {json_text(entry, indent + ' ')}" for key, entry in value.items()]
        return _block("{", entries, "}", indent)
    if isinstance(value, list) and any(isinstance(entry, dict | list) for entry in value):
        return _block("[", [json.dumps(entry, allow_nan=False) for entry in value], "]", indent)
    return json.dumps(value, allow_nan=False)


def listed(values: Array) -> list[Any]:
    """`values` as JSON can have them: None for NaN."""
    return [listed(value) if np.ndim(value) else finite(value) for value in values]


def _block(opening: str, entries: list[str], closing: str, indent: str) -> str:
    return f"{opening}\n{indent} " + f",\n{indent} ".join(entries) + f"\n{indent}{closing}"


def _class_columns(analysis: Analysis) -> tuple[list[Tree], list[Tree]]:
    """What is known of each class besides its AP, and its AP by size."""
    best = analysis.thresholds
    columns = zip(analysis.bootstrap.ap_intervals, best.f1, best.scores, best.precision, best.recall, strict=True)
    names = ("best_f1", "best_f1_score", "best_f1_precision", "best_f1_recall")
    rows = [
        {"ap_interval": listed(interval), **dict(zip(names, map(finite, numbers), strict=True))}
        for interval, *numbers in columns
    ]
    return rows, [dict(zip(SIZES, listed(ap), strict=True)) for ap in analysis.sizes.ap.T]


def _protocol(report: Report) -> Tree:
    return means(report) | (
        {report.protocol: {n: finite(value) for n, value in report.numbers.items()}} if report.numbers else {}
    )


def _sizes(sizes: SizeReport) -> list[Tree]:
    """A row a range; areas are in square pixels, and the last has no end."""
    ends = [*sizes.edges[1:-1].tolist(), None]
    return [
        {"name": name, "from": float(low), "to": high, "mean_ap": finite(mean), "objects": int(counts.sum())}
        for name, low, high, mean, counts in zip(
            SIZES, sizes.edges, ends, sizes.mean_ap, sizes.objects, strict=False
        )
    ]


def _confusion(matrix: ConfusionMatrix) -> Tree:
    """The entries that are not 0, by label of the object and of the detection, 0 for none."""
    objects, detections = np.nonzero(matrix.counts)
    counts = matrix.counts[objects, detections]
    return {"object": objects.tolist(), "detection": detections.tolist(), "count": counts.tolist()}


def _errors(errors: ErrorTypes) -> Tree:
    return {
        "mean_ap": finite(errors.mean_ap),
        "counts": dict(zip(TYPES, errors.counts.tolist(), strict=True)),
        "gains": dict(zip(TYPES, listed(errors.gains), strict=True)),
        "false_positive_gain": finite(errors.false_positive_gain),
        "false_negative_gain": finite(errors.false_negative_gain),
    }


def _false_positives(found: FalsePositives) -> Tree:
    return {
        "kinds": list(KINDS),
        "ranks": found.ranks.tolist(),
        "mean_shares": listed(mean_shares(found.counts)),
        "as_many_as_objects": listed(mean_shares(found.top)),
        "count": [int((found.kinds == kind).sum()) for kind in range(len(KINDS))],
    }
