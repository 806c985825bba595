"""The report of a classification test: metrics.json, report.md and one HTML page that needs no other file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from detector.evaluation.classification import (
    COLUMNS,
    ClassificationRow,
    classification_headline,
    classification_remarks,
    classification_tree,
    percent,
    table_cells,
)
from detector.evaluation.metrics import Classes
from detector.files import write_text
from detector.records import Array, Int64
from detector.reports.pages import page_environment

EXPLANATION = (
    "Cost is the number of forward passes an image; top-5 errors are compared to the first row's. The intervals "
    "are Wilson's, 95%, in percent; the rows share their images, so differences are surer than they suggest."
)


def write_classification_report(
    folder: Path,
    rows: Sequence[ClassificationRow],
    probs: Array,
    labels: Int64,
    classes: Classes,
    notes: Mapping[str, str] | None = None,
    *,
    html_name: str = "report.html",
    title: str = "Classification report",
) -> Path:
    """Write metrics.json, report.md and `html_name` into `folder`; returns the page's path.

    The first of `rows` is the base of the comparison; the last is the result, with its `probs` (n, C) for images
    of `labels` (n,) in 1..C. `notes` say where the numbers come from (models, data, command), a row each.
    """
    tree = classification_tree(rows, probs, labels, classes)
    context = {
        "title": title,
        "subtitle": f"{_counted(rows[-1].models, 'model')}, {_counted(rows[-1].crops, 'crop')} an image",
        "metrics": tree,
        "headline": classification_headline(tree),
        "remarks": classification_remarks(tree),
        "columns": COLUMNS,
        "cells": table_cells(rows),
        "explanation": EXPLANATION,
        "notes": dict(notes or {}),
    }
    environment = page_environment()
    environment.filters["percent"] = percent
    write_text(folder / "metrics.json", json.dumps(tree, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.md", environment.get_template("classification.md.j2").render(context))
    write_text(folder / html_name, environment.get_template("classification.html.j2").render(context))
    return folder / html_name


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"
