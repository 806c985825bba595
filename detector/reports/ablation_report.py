"""The report of an ablation, what each part of a detector is worth and costs: ablation.json, report.md, a page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from detector.evaluation.metrics import decimal, signed
from detector.evaluation.outcomes import protocol_of
from detector.files import write_text
from detector.reports.curves import ACCENT, small_plot
from detector.reports.detection.texts import interval_text
from detector.reports.detection.to_json import json_text
from detector.reports.pages import page_environment

SMALLEST_REACH = 0.01  # of the bars of changes
SIGNED = "+.4f"


@dataclass(frozen=True)
class AblationRow:
    """What averaging some views of some models reaches, in context or not, and what it costs.

    `mean_ap` is the mean over several models or runs where there is a standard error, and so is `change`, the
    difference to one model. `models` take part, with `passes` forward passes of a region in all; `is_plain`: each
    by its own view, with nothing after. `cost` is the time that scoring takes, of one model's.
    """

    name: str
    mean_ap: float
    standard_error: float | None
    change: float
    change_error: float | None
    models: int
    is_plain: bool
    passes: int
    regions_per_second: float
    cost: float


@dataclass(frozen=True)
class AblationReport:
    """The rows of a run's ablation, the first of one model, on data of that `protocol`; means are over `over`."""

    name: str
    protocol: str
    rows: Sequence[AblationRow]
    over: str
    notes: Mapping[str, str] = field(default_factory=dict)


def write_ablation(folder: Path, content: AblationReport) -> Path:
    """Write ablation.json, report.md and index.html into `folder`; returns the page's path."""
    rows = [asdict(row) for row in content.rows]
    tree = {"protocol": content.protocol, "over": content.over, "rows": rows}
    context = {
        "title": f"Ablation: {content.name}",
        "protocol": protocol_of(content.protocol).words,
        "rows": rows,
        "over": content.over,
        "notes": dict(content.notes),
    }
    environment = page_environment()
    environment.filters.update(error=error_text, interval=lambda ends: interval_text(ends, SIGNED))
    markdown = environment.get_template("ablation.md.j2").render(context, table=ablation_text(content.rows))
    page = environment.get_template("ablation.html.j2").render(
        context, intervals=_intervals(content.rows), reach=_reach(content.rows), plot=models_svg(content.rows)
    )
    write_text(folder / "ablation.json", json_text(tree) + "\n")
    write_text(folder / "report.md", markdown)
    write_text(folder / "index.html", page)
    return folder / "index.html"


def ablation_text(rows: Sequence[AblationRow]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| | mean AP | change | passes a region | regions a second | cost |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        mean_ap = decimal(row.mean_ap) + error_text(row.standard_error)
        change = "" if row is rows[0] else signed(row.change) + error_text(row.change_error)
        lines.append(
            f"| {row.name} | {mean_ap} | {change} | {row.passes} | {row.regions_per_second:.0f} | {row.cost:.2f} |"
        )
    return "\n".join(lines) + "\n"


def error_text(error: float | None) -> str:
    """A standard error after the mean that it is of; nothing where there is none."""
    return "" if error is None else f" ± {error:.4f}"


def models_svg(rows: Sequence[AblationRow]) -> str:
    """Mean AP by the number of models, each with its own view alone, as one <svg>; "" for less than three."""
    plain = [row for row in rows if row.is_plain]
    if len(plain) < 3:
        return ""
    counts, heights = [row.models for row in plain], [row.mean_ap for row in plain]
    errors = [row.standard_error or 0 for row in plain]

    def draw(axes: Axes) -> None:
        axes.errorbar(counts, heights, yerr=errors, color=ACCENT, linewidth=2, marker="o", capsize=3)
        low, high = np.min(np.subtract(heights, errors)), np.max(np.add(heights, errors))
        margin = max(high - low, SMALLEST_REACH) / 8
        axes.set_ylim(low - margin, high + margin)
        axes.set_xticks(counts)
        axes.set(xlabel="models", ylabel="mean AP")

    return small_plot("mean AP by the number of models", draw)


def _intervals(rows: Sequence[AblationRow]) -> list[tuple[float | None, float | None]]:
    """A standard error to both sides of each change."""
    return [
        (None, None)
        if row.change_error is None
        else (row.change - row.change_error, row.change + row.change_error)
        for row in rows
    ]


def _reach(rows: Sequence[AblationRow]) -> float:
    """Half the width of the bars of changes."""
    return max([SMALLEST_REACH, *(abs(row.change) + (row.change_error or 0) for row in rows)])
