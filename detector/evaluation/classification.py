"""The numbers of a classification test: top-k errors, as Table 3 of arXiv 1409.4842 has them, and the mistakes.

Probs are (n, C), a row an image; column c belongs to label c + 1, so labels (n,) are in 1..C as everywhere. Of
equal probabilities the lower label is guessed first. Five guesses hold all of five classes or fewer, which says
nothing of the network: the top-5 error of a row is then not defined.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.errors import DataError
from detector.evaluation.metrics import MISSING, Classes, finite
from detector.records import FIRST_LABEL, Array, Float64, Int64

NORMAL_QUANTILE = 1.959963984540054  # of a two-sided interval of 95%
CONFUSED_PAIRS = 10  # that are named
TOP_FIVE = 5
COLUMNS = (
    "Number of models",
    "Number of crops",
    "Cost",
    "Top-1 error",
    "95% interval",
    "Top-5 error",
    "95% interval",
    "Compared to base",
)


@dataclass(frozen=True)
class ClassificationRow:
    """One test: `models` averaged over `crops` of each of `images`; errors in 0..1, NaN where not defined."""

    models: int
    crops: int
    images: int
    top1_error: float
    top5_error: float

    @property
    def cost(self) -> int:
        """Forward passes an image: 1 for one crop of one model."""
        return self.models * self.crops


def top_k_errors(probs: Array, labels: Int64, k: int) -> float:
    """The fraction of images whose label is not among the `k` best guesses; NaN without images.

    probs (n, C), labels (n,) in 1..C; of equal probs the lower label is guessed first.
    """
    return _mean(_guesses_before(probs, labels) >= k)


def per_class_accuracy(probs: Array, labels: Int64) -> Float64:
    """The fraction (C,) of each class's images whose best guess is right; NaN where a class has no image."""
    right = labels[_guesses_before(probs, labels) == 0] - FIRST_LABEL
    images = images_per_class(labels, probs.shape[1])
    hits = np.bincount(right, minlength=len(images))
    return np.divide(hits, images, out=np.full(len(images), np.nan), where=images > 0)


def images_per_class(labels: Int64, num_classes: int) -> Int64:
    """The number (C,) of images of each class."""
    return np.bincount(labels - FIRST_LABEL, minlength=num_classes).astype(np.int64)


def confused_pairs(probs: Array, labels: Int64) -> list[tuple[int, int, int]]:
    """Every mistake (label, other label that was guessed first, images), the commonest mistake first.

    Equally common mistakes come in label order.
    """
    num_classes = probs.shape[1]
    wrong = _guesses_before(probs, labels) > 0
    pairs = (labels[wrong] - FIRST_LABEL) * num_classes + probs[wrong].argmax(axis=1)
    unique, images = np.unique(pairs, return_counts=True)
    order = np.argsort(-images, kind="stable")
    true, guessed = np.divmod(unique[order], num_classes)
    columns = (true + FIRST_LABEL, guessed + FIRST_LABEL, images[order])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def wilson_interval(fraction: float, trials: int) -> tuple[float, float]:
    """The 95% interval of a probability after `fraction` of `trials` (Wilson, JASA 1927); 0..1 after none."""
    if not trials:
        return 0.0, 1.0
    square = NORMAL_QUANTILE**2 / trials
    centre = (fraction + square / 2) / (1 + square)
    spread = math.sqrt(square * (fraction * (1 - fraction) + square / 4)) / (1 + square)
    return max(centre - spread, 0.0), min(centre + spread, 1.0)


def classification_row(models: int, crops: int, probs: Array, labels: Int64) -> ClassificationRow:
    """The row of `probs` (n, C), the means over `models` and `crops`, for images of `labels` (n,) in 1..C."""
    before = _guesses_before(probs, labels)
    top5_error = _mean(before >= TOP_FIVE) if probs.shape[1] > TOP_FIVE else math.nan
    return ClassificationRow(models, crops, len(labels), _mean(before >= 1), top5_error)


def classification_table(rows: Sequence[ClassificationRow]) -> str:
    """The table a command prints, errors in percent; the first row is the base of the comparison."""
    cells = [COLUMNS, *table_cells(rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(lines) + "\n"


def table_cells(rows: Sequence[ClassificationRow]) -> list[tuple[str, ...]]:
    """The table's lines as texts, in the order of `COLUMNS`."""
    return [
        (
            str(row.models),
            str(row.crops),
            str(row.cost),
            percent(row.top1_error),
            _interval_text(row.top1_error, row.images),
            percent(row.top5_error),
            _interval_text(row.top5_error, row.images),
            _difference_text(row.top5_error - rows[0].top5_error) if position else "base",
        )
        for position, row in enumerate(rows)
    ]


def classification_tree(
    rows: Sequence[ClassificationRow], probs: Array, labels: Int64, classes: Classes
) -> dict[str, Any]:
    """The rows, and the classes and commonest mistakes of the last one, for strict JSON: None stands for NaN.

    `probs` (n, C) are the last row's, for images of `labels` (n,) in 1..C; there is at least one row.
    """
    images = images_per_class(labels, probs.shape[1])
    accuracy = per_class_accuracy(probs, labels)
    pairs = confused_pairs(probs, labels)
    return {
        "images": len(labels),
        "rows": [_row_tree(row, rows[0]) for row in rows],
        "mean_class_accuracy": finite(_mean(accuracy[images > 0])),
        "classes": _class_trees(accuracy, images, pairs, classes),
        "confused": [
            {
                "name": classes.names[label - FIRST_LABEL],
                "taken_for": classes.names[other - FIRST_LABEL],
                "images": number,
                "of": int(images[label - FIRST_LABEL]),
            }
            for label, other, number in pairs[:CONFUSED_PAIRS]
        ],
    }


def classification_headline(tree: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The last row's errors, the one that says most first, and what they were measured on."""
    result = tree["rows"][-1]
    errors = [("top-5 error", percent(result["top5_error"])), ("top-1 error", percent(result["top1_error"]))]
    return [
        *(errors if len(tree["classes"]) > TOP_FIVE else reversed(errors)),
        ("mean top-1 accuracy of the classes", percent(tree["mean_class_accuracy"])),
        ("images", f"{tree['images']:,}"),
        ("classes", f"{len(tree['classes']):,}"),
    ]


def classification_remarks(tree: Mapping[str, Any]) -> list[str]:
    """What a reader of `classification_tree` must know to read the numbers right, a sentence each."""
    lines = []
    if not tree["images"]:
        lines.append("There is no image to classify.")
    if len(tree["classes"]) <= TOP_FIVE:
        lines.append(
            f"There is no top-5 error, because five guesses hold all of the {len(tree['classes'])} classes."
        )
    without = sum(not row["images"] for row in tree["classes"])
    if without:
        lines.append(f"Classes without an image here: {without} of {len(tree['classes'])}.")
    return lines


def percent(value: float | None, decimals: int = 2) -> str:
    """A fraction in percent, a dash where it is not defined."""
    return MISSING if value is None or math.isnan(value) else f"{100 * value:.{decimals}f}%"


def _guesses_before(probs: Array, labels: Int64) -> Int64:
    """How many classes (n,) are guessed before each image's own: 0 where the best guess is right."""
    _check(probs, labels)
    own = labels[:, None] - FIRST_LABEL
    mine = np.take_along_axis(probs, own, axis=1)
    earlier = np.arange(probs.shape[1]) < own
    return ((probs > mine) | ((probs == mine) & earlier)).sum(axis=1)


def _check(probs: Array, labels: Int64) -> None:
    if probs.ndim != 2 or labels.shape != probs.shape[:1]:
        raise DataError(f"probs must have a row a label, got shapes {probs.shape} and {labels.shape}")
    wrong = (labels < FIRST_LABEL) | (labels >= probs.shape[1] + FIRST_LABEL)
    if wrong.any():
        raise DataError(f"labels must be in {FIRST_LABEL}..{probs.shape[1]}, got {labels[wrong][0]}")
    row, column = np.nonzero(~np.isfinite(probs))
    if len(row):
        raise DataError(f"probs must be finite, got {probs[row[0], column[0]]} (row {row[0]})")


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else math.nan


def _interval(fraction: float, trials: int) -> list[float] | None:
    return None if math.isnan(fraction) else list(wilson_interval(fraction, trials))


def _interval_text(fraction: float, trials: int) -> str:
    interval = _interval(fraction, trials)
    return "" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


def _difference_text(difference: float) -> str:
    return MISSING if math.isnan(difference) else f"{100 * difference:+.2f}%"


def _row_tree(row: ClassificationRow, base: ClassificationRow) -> dict[str, Any]:
    return {
        "models": row.models,
        "crops": row.crops,
        "cost": row.cost,
        "images": row.images,
        "top1_error": finite(row.top1_error),
        "top1_interval": _interval(row.top1_error, row.images),
        "top5_error": finite(row.top5_error),
        "top5_interval": _interval(row.top5_error, row.images),
        "top5_compared_to_base": finite(row.top5_error - base.top5_error),
    }


def _class_trees(
    accuracy: Float64, images: Int64, pairs: Sequence[tuple[int, int, int]], classes: Classes
) -> list[dict[str, Any]]:
    """A row a class; `taken_for` is its commonest mistake."""
    mistakes = {label: classes.names[other - FIRST_LABEL] for label, other, _ in reversed(pairs)}
    wnids = classes.wnids or ("",) * len(images)
    columns = zip(wnids, classes.names, accuracy, images.tolist(), strict=True)
    return [
        {
            "id": label,
            "wnid": wnid,
            "name": name,
            "top1_accuracy": finite(value),
            "images": number,
            "taken_for": mistakes.get(label),
        }
        for label, (wnid, name, value, number) in enumerate(columns, FIRST_LABEL)
    ]
