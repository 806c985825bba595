"""Plots as SVG, for a report that may be read on light or dark paper; the precision-recall curves among them."""

import html
import io
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from detector.evaluation.average_precision import envelope
from detector.records import Float64, Report

RECALLS = np.linspace(0, 1, 101)
MOST_NAMED_CURVES = 12  # more classes are summed up by their mean and spread
INK = "#010203"  # stands for the text's colour, whatever that will be
ACCENT = "#2f7fd1"
COLOURS = ("#2f7fd1", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by the colour-blind
DASHES = ("solid", (0, (5, 2)))
SVG_DASHES = ("none", "10 4")
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "precision-recall",
    "font.size": 11,
    "text.parse_math": False,
    "text.usetex": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def precision_at(recall: Float64, precision: Float64, at: Float64) -> Float64:
    """The best precision at each recall `at` or more, 0 where it is never reached."""
    if not len(recall) or np.isnan(recall).any():
        return np.zeros(len(at))
    heights = envelope(np.concatenate([precision, [0.0]]))
    return heights[np.searchsorted(recall, at - 1e-12, side="left")]


class CurveKey(NamedTuple):
    """The line of one class in the picture of all curves; dashes as SVG states them, in pixels."""

    name: str
    ap: float
    colour: str
    dashes: str


def curve_keys(report: Report, names: tuple[str, ...]) -> list[CurveKey]:
    """How `curves_svg` draws each class that has objects; none where there are too many to be told apart."""
    shown = np.flatnonzero(report.objects > 0)
    if len(shown) > MOST_NAMED_CURVES:
        return []
    return [
        CurveKey(names[c], float(report.ap[c]), COLOURS[n % len(COLOURS)], SVG_DASHES[n // len(COLOURS)])
        for n, c in enumerate(shown)
    ]


def curves_svg(report: Report) -> str:
    """The curves of the classes that have objects as one <svg>; of many classes the mean and the spread."""
    shown = np.flatnonzero(report.objects > 0)
    heights = np.array([precision_at(report.recall[c], report.precision[c], RECALLS) for c in shown])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        if len(shown) <= MOST_NAMED_CURVES:
            _draw_named(axes, heights)
        else:
            _draw_spread(axes, heights)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        finish_axes(axes)
        return inline_svg(figure, "precision-recall curves")


def sparkline(recall: Float64, precision: Float64) -> str:
    """The curve as an SVG path in a square of 100 units, precision upwards; empty where it never leaves 0."""
    heights = precision_at(recall, precision, RECALLS[::4])
    if not heights.any():
        return ""
    reached = zip(RECALLS[::4][heights > 0], heights[heights > 0], strict=True)
    points = [f"{100 * x:.0f} {100 - 100 * y:.0f}" for x, y in reached]
    return "M" + "L".join(points)


def inline_svg(figure: Figure, label: str) -> str:
    """The <svg> element of `figure`, called `label`, in the colour of the text around it, as wide as its place."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    document = buffer.getvalue()
    svg = document[document.index("<svg") :].replace(INK, "currentColor")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)


def small_plot(label: str, draw: Callable[[Axes], None]) -> str:
    """What `draw` draws as one <svg> of a row of plots; heights are from 0 to 1 unless it says otherwise."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": label}):
        figure = Figure(figsize=(4.2, 3.5), layout="constrained")
        axes = figure.add_subplot()
        axes.set_ylim(0, 1.02)
        draw(axes)
        finish_axes(axes)
        # groups are named alike in every plot, while names on a page must differ; nothing refers to them
        return re.sub(r'<g id="[^"]*">', "<g>", inline_svg(figure, label))


def finish_axes(axes: Axes) -> None:
    """A faint grid behind the lines, and no frame above and on the right."""
    axes.grid(color=INK, alpha=0.12, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_named(axes: Axes, heights: Float64) -> None:
    for number, curve in enumerate(heights):
        colour, dashes = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS)]
        axes.plot(RECALLS, _to_its_end(curve), color=colour, linestyle=dashes, linewidth=2)


def _draw_spread(axes: Axes, heights: Float64) -> None:
    for curve in heights:
        axes.plot(RECALLS, _to_its_end(curve), color=INK, alpha=0.12, linewidth=0.8)
    low, high = np.percentile(heights, [25, 75], axis=0)
    axes.fill_between(
        RECALLS, low, high, color=ACCENT, alpha=0.25, linewidth=0, label="middle half of the classes"
    )
    axes.plot(RECALLS, heights.mean(axis=0), color=ACCENT, linewidth=2.5, label="mean of the classes")
    axes.legend(loc="upper right", frameon=False, fontsize=10)


def _to_its_end(curve: Float64) -> Float64:
    """`curve` cut where no detection reaches the recall."""
    return np.where(curve > 0, curve, np.nan)
