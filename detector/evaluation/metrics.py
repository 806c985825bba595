"""The numbers of a report as a JSON tree, as the table a command prints, and as short sentences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from detector.records import FIRST_LABEL, Report

MISSING = "\N{EN DASH}"
UNDEFINED = -1  # pycocotools' word for a number without objects

Row = tuple[str, ...]


class Classes(Protocol):
    """Names, and WNIDs or none, in label order; `detector.data.classes.ClassList` is one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of labels 1..C."""

    @property
    def wnids(self) -> tuple[str, ...]:
        """The WNIDs of labels 1..C, empty where the data have none."""


def metrics_tree(report: Report, classes: Classes, ids: Sequence[int] | None = None) -> dict[str, Any]:
    """The numbers of `report` for strict JSON: None stands for NaN; `ids` are the labels unless given."""
    wnids = classes.wnids or ("",) * len(report.ap)
    numbers = ids or range(FIRST_LABEL, len(report.ap) + FIRST_LABEL)
    rows = zip(numbers, wnids, classes.names, report.ap, report.objects, report.detections, strict=True)
    tree: dict[str, Any] = {
        "protocol": report.protocol,
        "mean_ap": finite(report.mean_ap),
        "median_ap": finite(report.median_ap),
        "mean_ap_with_objects": finite(report.mean_ap_with_objects),
        "classes": [
            {
                "id": number,
                "wnid": wnid,
                "name": name,
                "ap": finite(ap),
                "objects": int(objects),
                "detections": int(detections),
            }
            for number, wnid, name, ap, objects, detections in rows
        ],
    }
    if report.numbers:
        tree[report.protocol] = {name: finite(value) for name, value in report.numbers.items()}
    return tree


def summary_text(report: Report, classes: Classes) -> str:
    """The table a command prints: every class's AP, objects and detections, then the means and the remarks."""
    counts = zip(classes.names, report.ap, report.objects, report.detections, strict=True)
    rows = [(name, decimal(ap), str(objects), str(detections)) for name, ap, objects, detections in counts]
    means = [*headline(report), *((name, decimal(value)) for name, value in report.numbers.items())]
    widths = [
        max(len(cell) for cell in column)
        for column in zip(("class", "AP", "objects", "detections"), *rows, strict=True)
    ]
    widths[0] = max(widths[0], *(len(label) for label, _ in means))
    lines = [_line(row, widths) for row in (("class", "AP", "objects", "detections"), *rows)]
    return "\n".join([*lines, "", *(_line(row, widths) for row in means), *remarks(report)]) + "\n"


def headline(report: Report) -> list[tuple[str, str]]:
    """The means with their names, the first being the protocol's own."""
    return [
        ("mean AP", decimal(report.mean_ap)),
        ("median AP", decimal(report.median_ap)),
        ("mean AP over classes with objects", decimal(report.mean_ap_with_objects)),
    ]


def remarks(report: Report) -> list[str]:
    """What a reader must know to read the numbers right, a sentence each."""
    lines = []
    without = report.objects == 0
    if not report.detections.any():
        lines.append("There is no detection to count.")
    if without.any():
        lines.append(f"{without.sum()} of the {len(without)} classes have no object here.")
    if math.isnan(report.mean_ap) and not without.all():
        undefined = without & (report.detections > 0)
        lines.append(
            f"The protocol's mean is not defined, because {undefined.sum()} classes have detections and no "
            "object; the mean over the classes with objects leaves them out."
        )
    return lines


def ranking(tree: Mapping[str, Any], count: int) -> tuple[list[Any], list[Any]]:
    """The best and the worst `count` classes that have objects, best and worst first; none if they would meet."""
    rows = [row for row in tree["classes"] if row["objects"] and row["ap"] is not None]
    if len(rows) < 3 * count:
        return [], []
    order = np.argsort([-row["ap"] for row in rows], kind="stable")
    return [rows[i] for i in order[:count]], [rows[i] for i in order[::-1][:count]]


def finite(value: float) -> float | None:
    """`value` as JSON can have it: None for NaN."""
    return None if math.isnan(value) else float(value)


def decimal(value: float | None) -> str:
    """`value` with four decimals, a dash where it is not defined."""
    return MISSING if value is None or math.isnan(value) or value == UNDEFINED else f"{value:.4f}"


def short(value: float | None) -> str:
    """`value` with two decimals, a dash where it is not defined."""
    return MISSING if value is None or math.isnan(value) else _with_minus(f"{value:.2f}")


def signed(value: float | None) -> str:
    """A difference with its sign and four decimals, a dash where it is not defined."""
    if value is None or math.isnan(value):
        return MISSING
    return _with_minus(f"{value:+.4f}") if round(value, 4) else "0.0000"


def _with_minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _line(row: Row, widths: Sequence[int]) -> str:
    """The first cell on the left of its column, the others on the right of theirs."""
    cells = [
        f"{row[0]:<{widths[0]}}",
        *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=False)),
    ]
    return "  ".join(cells)
