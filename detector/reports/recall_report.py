"""The report of proposal recall: recall.json, report.md and one HTML page that needs no other file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.evaluation.metrics import Classes, decimal, finite
from detector.evaluation.recall import (
    Coverage,
    average_recall,
    class_recall,
    recall_at,
    size_masks,
)
from detector.files import write_text
from detector.records import FIRST_LABEL, Array
from detector.reports.pages import page_environment
from detector.reports.recall_curves import (
    IOUS,
    average_recall_by_boxes_svg,
    line_of,
    recall_by_boxes_svg,
    recall_by_iou_svg,
    recall_curve,
)

SHOWN_IOUS = (0.5, 0.7, 0.9)
COLUMNS = (
    "proposals",
    "first",
    "boxes an image",
    *(f"recall {iou}" for iou in SHOWN_IOUS),
    *("AR", "AR small", "AR medium", "AR large", "MABO"),
)
ALL = "all"
EXPLANATION = (
    "Recall is the share of the objects that some box among the first of their image overlaps by the IoU or more; "
    "AR, the average recall, is its mean over IoU 0.5 to 1; MABO is the mean over the classes of their objects' "
    "mean best overlap. Objects under 32² square pixels of the image file are small, those from 96² on large: here"
)

RecallTree = dict[str, Any]


def recall_tree(coverages: Mapping[str, Coverage], classes: Classes, budgets: Sequence[int]) -> RecallTree:
    """The numbers of the same objects' `coverages` for strict JSON: None stands for NaN.

    A source has a row for each of `budgets` that it has boxes for, and a last one, of all its boxes, with the
    budget None.
    """
    first = next(iter(coverages.values()))
    objects = class_recall(first, len(classes.names)).objects
    wnids = classes.wnids or ("",) * len(classes.names)
    return {
        "images": first.images,
        "objects": len(first.labels),
        "objects_by_size": {size: int(mask.sum()) for size, mask in size_masks(first.areas).items()},
        "classes": [
            {"id": label, "wnid": wnid, "name": name, "objects": int(count)}
            for label, (wnid, name, count) in enumerate(
                zip(wnids, classes.names, objects, strict=True), FIRST_LABEL
            )
        ],
        "sources": [
            _source_tree(name, coverage, len(classes.names), budgets) for name, coverage in coverages.items()
        ],
    }


def recall_text(tree: RecallTree) -> str:
    """The table a command prints, and the remarks."""
    rows = [COLUMNS, *(row for rows in recall_cells(tree) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    remarks = recall_remarks(tree)
    return "\n".join([*lines, *([""] if remarks else []), *remarks]) + "\n"


def write_recall_report(
    folder: Path,
    coverages: Mapping[str, Coverage],
    classes: Classes,
    budgets: Sequence[int],
    notes: Mapping[str, str] | None = None,
    *,
    html_name: str = "report.html",
    title: str = "Proposal recall",
) -> Path:
    """Write recall.json, report.md and `html_name` into `folder`; returns the page's path.

    `coverages` name the sources, at least one, all of the same objects. `notes` say where the numbers come from
    (data, files, command), a row each.
    """
    tree = recall_tree(coverages, classes, budgets)
    context = {
        "title": title,
        "tree": tree,
        "headline": recall_headline(tree),
        "remarks": recall_remarks(tree),
        "columns": COLUMNS,
        "cells": recall_cells(tree),
        "explanation": f"{EXPLANATION} {_sizes_text(tree)}.",
        "notes": dict(notes or {}),
    }
    environment = page_environment()
    write_text(folder / "recall.json", json.dumps(tree, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.md", environment.get_template("recall.md.j2").render(context))
    page = environment.get_template("recall.html.j2").render(
        context,
        lines=[line_of(number) for number in range(len(coverages))],
        pictures=[
            recall_by_iou_svg(coverages),
            recall_by_boxes_svg(coverages),
            average_recall_by_boxes_svg(coverages),
        ],
    )
    write_text(folder / html_name, page)
    return folder / html_name


def recall_headline(tree: RecallTree) -> list[tuple[str, str]]:
    """The numbers of all boxes with their names: of one source its main ones, of several the AR of each."""
    totals = [("objects", f"{tree['objects']:,}"), ("images", f"{tree['images']:,}")]
    last_rows = [(source["name"], source["rows"][-1]) for source in tree["sources"]]
    if len(last_rows) > 1:
        return [(f"AR of {name}", decimal(row["average_recall"])) for name, row in last_rows] + totals
    row = last_rows[0][1]
    return [
        ("average recall", decimal(row["average_recall"])),
        ("recall at IoU 0.5", decimal(row["recall"]["0.5"])),
        ("boxes an image", _count(row["boxes_per_image"])),
        *totals,
    ]


def recall_remarks(tree: RecallTree) -> list[str]:
    """What a reader must know to read the numbers right, a sentence each."""
    lines = []
    without = sum(row["objects"] == 0 for row in tree["classes"])
    if without:
        lines.append(f"{without} of the {len(tree['classes'])} classes have no object here.")
    for source in tree["sources"]:
        if not source["rows"][-1]["boxes_per_image"]:
            lines.append(f"{source['name']} has no boxes.")
    return lines


def recall_cells(tree: RecallTree) -> list[list[tuple[str, ...]]]:
    """The rows of each source as text, in the order of `COLUMNS`; its name stands in the first."""
    return [[_cells(source, number) for number in range(len(source["rows"]))] for source in tree["sources"]]


def _cells(source: RecallTree, number: int) -> tuple[str, ...]:
    row = source["rows"][number]
    return (
        source["name"] if number == 0 else "",
        ALL if row["budget"] is None else f"{row['budget']:,}",
        _count(row["boxes_per_image"]),
        *map(decimal, row["recall"].values()),
        decimal(row["average_recall"]),
        *map(decimal, row["average_recall_by_size"].values()),
        decimal(row["mabo"]),
    )


def _source_tree(name: str, coverage: Coverage, num_classes: int, budgets: Sequence[int]) -> RecallTree:
    columns = [k for k, budget in enumerate(coverage.budgets[:-1].tolist()) if budget in budgets]
    numbers = class_recall(coverage, num_classes)
    return {
        "name": name,
        "rows": [_row_tree(coverage, k, num_classes) for k in [*columns, -1]],
        "by_iou": {"iou": _rounded(IOUS), "recall": _listed(recall_curve(coverage))},
        "by_boxes": {
            "budget": coverage.budgets.tolist(),
            "boxes_per_image": coverage.mean_boxes.tolist(),
            **{f"recall_{iou}": _listed(recall_at(coverage.overlaps, iou)) for iou in SHOWN_IOUS[:2]},
            "average_recall": _listed(average_recall(coverage.overlaps)),
        },
        "classes": {
            "recall_0.5": _listed(numbers.recall),
            "average_recall": _listed(numbers.average_recall),
            "average_best_overlap": _listed(numbers.best_overlap),
        },
    }


def _row_tree(coverage: Coverage, column: int, num_classes: int) -> RecallTree:
    overlaps = coverage.overlaps[:, column]
    abo = class_recall(coverage, num_classes, column).best_overlap
    abo = abo[~np.isnan(abo)]
    return {
        "budget": None if column == -1 else int(coverage.budgets[column]),
        "boxes_per_image": float(coverage.mean_boxes[column]),
        "recall": {str(iou): finite(float(recall_at(overlaps, iou))) for iou in SHOWN_IOUS},
        "average_recall": finite(float(average_recall(overlaps))),
        "average_recall_by_size": {
            size: finite(float(average_recall(overlaps[mask])))
            for size, mask in size_masks(coverage.areas).items()
        },
        "mabo": float(abo.mean()) if len(abo) else None,
    }


def _sizes_text(tree: RecallTree) -> str:
    return ", ".join(f"{count:,} {size}" for size, count in tree["objects_by_size"].items())


def _count(value: float) -> str:
    """A mean number of boxes: with a decimal where it is small."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _listed(values: Array) -> list[float | None]:
    return [finite(value) for value in values]


def _rounded(values: Array) -> list[float]:
    return [round(float(value), 6) for value in values]
