"""The pictures of a recall report as SVG, every source of proposals in each."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from detector.evaluation.recall import LOWEST_IOU, Coverage, average_recall, recall_at
from detector.records import Float64
from detector.reports.curves import COLOURS, small_plot

IOUS = np.linspace(LOWEST_IOU, 1, 101)
DASHES = ((), (5.0, 2.0), (1.5, 1.5))  # lengths of ink and gap, in widths of the line
WIDTH = 2.0

Coverages = Mapping[str, Coverage]


class Line(NamedTuple):
    """How a source is drawn in every picture and in the key."""

    colour: str
    dashes: tuple[float, ...]

    @property
    def svg_dashes(self) -> str:
        """The dashes as SVG states them, in pixels."""
        return " ".join(f"{WIDTH * length:g}" for length in self.dashes) or "none"


def line_of(number: int) -> Line:
    """The line of the source `number`, from 0; after 18 they begin again."""
    return Line(COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)])


def recall_by_iou_svg(coverages: Coverages) -> str:
    """The recall of all boxes at IoU 0.5 to 1."""

    def draw(axes: Axes) -> None:
        axes.set(xlim=(LOWEST_IOU, 1), xlabel="IoU", ylabel="recall of all boxes")
        for number, coverage in enumerate(coverages.values()):
            colour, dashes = line_of(number)
            axes.plot(IOUS, recall_curve(coverage), color=colour, dashes=dashes, linewidth=WIDTH)

    return small_plot("recall of all boxes by IoU", draw)


def recall_by_boxes_svg(coverages: Coverages) -> str:
    """The recall at IoU 0.5 of the first boxes of each image, by their mean number."""
    return _by_boxes(coverages, lambda overlaps: recall_at(overlaps, LOWEST_IOU), "recall at IoU 0.5")


def average_recall_by_boxes_svg(coverages: Coverages) -> str:
    """The average recall of the first boxes of each image, by their mean number."""
    return _by_boxes(coverages, average_recall, "average recall")


def recall_curve(coverage: Coverage) -> Float64:
    """The recall (101,) of all boxes at each of `IOUS`; NaN without objects."""
    return np.array([recall_at(coverage.overlaps[:, -1], iou) for iou in IOUS])


def _by_boxes(coverages: Coverages, measure: Callable[[Float64], Float64], label: str) -> str:
    most = max((coverage.mean_boxes[-1] for coverage in coverages.values()), default=0)

    def draw(axes: Axes) -> None:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set(xlim=(1, 1.1 * max(10, most)), xlabel="boxes an image", ylabel=label)
        for number, coverage in enumerate(coverages.values()):
            boxes, heights = coverage.mean_boxes, measure(coverage.overlaps)
            colour, dashes = line_of(number)
            axes.plot(boxes, heights, color=colour, dashes=dashes, linewidth=WIDTH)
            axes.plot(boxes[-1:], heights[-1:], "o", color=colour, markersize=5)

    return small_plot(f"{label} by boxes an image", draw)
