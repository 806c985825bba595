"""Writing a detection report: metrics.json, report.md and one HTML page that needs no other file."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from detector.evaluation.confusion import most_confused
from detector.evaluation.metrics import ranking, remarks
from detector.evaluation.outcomes import protocol_of
from detector.files import write_text
from detector.reports.curves import curve_keys, curves_svg, sparkline
from detector.reports.detection.plots import (
    background_last,
    confusion_uri,
    false_positives_svg,
    training_svgs,
)
from detector.reports.detection.report import DetectionReport
from detector.reports.detection.texts import (
    ERRORS,
    cards,
    duration,
    interval_text,
    means_differ,
    method_rows,
    number_tables,
    protocol_rows,
    size_text,
)
from detector.reports.detection.to_json import SOURCE, Tree, json_text, proposals_tree, report_tree
from detector.reports.embedded import jpeg_uri
from detector.reports.pages import page_environment
from detector.reports.recall_curves import (
    average_recall_by_boxes_svg,
    recall_by_boxes_svg,
    recall_by_iou_svg,
)
from detector.reports.recall_report import COLUMNS, EXPLANATION, recall_cells

EXTREMES = 5  # best and worst classes that are named
MOST_NUMBERED = 12  # classes whose confusions are shown as numbers
MOST_CONFUSED = 12  # pairs


def write_report(folder: Path, content: DetectionReport, html_name: str = "index.html") -> Path:
    """Write metrics.json, report.md and `html_name` into `folder`; returns the page's path."""
    tree = report_tree(content)
    context = _context(content, tree)
    environment = page_environment()
    environment.filters.update(duration=duration, interval=interval_text, size=size_text)
    write_text(folder / "metrics.json", json_text(tree) + "\n")
    write_text(folder / "report.md", environment.get_template("detection.md.j2").render(context))
    page = environment.get_template("detection.html.j2").render(context, **_pictures(content))
    write_text(folder / html_name, page)
    return folder / html_name


def _context(content: DetectionReport, tree: Tree) -> dict[str, Any]:
    """What both pages show."""
    report, names = content.analysis.report, content.case.classes.names
    protocol = protocol_of(report.protocol)
    best, worst = ranking(tree, EXTREMES)
    recall = proposals_tree(content.proposals, content) if content.proposals else None
    return {
        "title": content.title,
        "protocol": protocol.words,
        "chosen": {
            "protocol": protocol.title,
            "curves_at": protocol.curves_at,
            "method": next(reversed(tuple(content.methods)), ""),
        },
        "metrics": tree,
        "cards": cards(content, tree),
        "best": best,
        "worst": worst,
        "remarks": remarks(report),
        "mean_tables": [
            (f"Mean AP by {noun}", noun, rows, means_differ(rows))
            for noun, rows in (("protocol", protocol_rows(tree)), ("method", method_rows(tree)))
            if rows
        ],
        "number_tables": number_tables(tree),
        "errors": ERRORS,
        "most_gain": max([gain for gain in tree["errors"]["gains"].values() if gain] or [1]),
        "confused": [
            (names[row - 1], names[column - 1], count, int(content.analysis.confusion.counts[row].sum()))
            for row, column, count in most_confused(content.analysis.confusion, MOST_CONFUSED).tolist()
        ],
        "matrix": _numbered_matrix(content),
        "recall_columns": COLUMNS[1:],
        "recall_rows": [row[1:] for row in recall_cells(recall)[0]] if recall else [],
        "recall_explanation": EXPLANATION.removesuffix(": here") + ".",
        "explained": content.explained,
        "notes": dict(content.notes),
        "settings": content.settings,
    }


def _pictures(content: DetectionReport) -> dict[str, Any]:
    """What the HTML page shows besides."""
    analysis, names = content.analysis, content.case.classes.names
    report = analysis.report
    coverages = {SOURCE: content.proposals} if content.proposals else None
    many = len(names) > MOST_NUMBERED
    return {
        "curves": curves_svg(report),
        "keys": curve_keys(report, names),
        "sparklines": [sparkline(*curve) for curve in zip(report.recall, report.precision, strict=True)],
        "false_positives": false_positives_svg(analysis.false_positives),
        "confusion_image": confusion_uri(analysis.confusion) if many else "",
        "confusion_data": _confusion_data(content) if many else "",
        "recall_plots": [
            recall_by_iou_svg(coverages),
            recall_by_boxes_svg(coverages),
            average_recall_by_boxes_svg(coverages),
        ]
        if coverages
        else [],
        "training": [(log.name, training_svgs(log)) for log in content.training if len(log.steps)],
        "galleries": [
            (heading, [(picture.caption, jpeg_uri(picture.image), picture.page) for picture in pictures])
            for heading, pictures in content.pictures.items()
        ],
    }


def _numbered_matrix(content: DetectionReport) -> list[tuple[str, list[tuple[int, float]]]]:
    """Rows of few classes, background last: the name, and each count with its share of the row."""
    names = content.case.classes.names
    if len(names) > MOST_NUMBERED:
        return []
    counts = background_last(content.analysis.confusion.counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = zip([*names, "nothing"], counts.tolist(), shares.tolist(), strict=True)
    return [(name, list(zip(numbers, parts, strict=True))) for name, numbers, parts in rows]


def _confusion_data(content: DetectionReport) -> str:
    """Names, and the entries by row and column of the picture, for the line that explains the pointed one."""
    counts = background_last(content.analysis.confusion.counts)
    rows, columns = np.nonzero(counts)
    entries = np.column_stack([rows, columns, counts[rows, columns]]).tolist()
    text = json.dumps({"names": list(content.case.classes.names), "entries": entries}, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # so that no name ends the script element
