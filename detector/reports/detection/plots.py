"""The plots of a detection report: training curves, kinds of false positives, the confusions of many classes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from detector.evaluation.confusion import ConfusionMatrix
from detector.evaluation.false_positives import KINDS, FalsePositives, mean_shares
from detector.records import Array, Float64
from detector.reports.curves import COLOURS, small_plot
from detector.reports.detection.report import TrainingLog
from detector.reports.embedded import png_uri

MOST_POINTS = 400  # of a line; more are averaged
RIGHT, WRONG = (209, 127, 47), (0, 94, 213)  # BGR; ACCENT and the second of COLOURS
FAINTEST = 80  # of 255, so that a single confusion is seen


def training_svgs(log: TrainingLog) -> list[str]:
    """The loss, the metrics and the learning rate by step; dots are of data held out."""
    rates = [name for name in log.columns if name.endswith("_per_second")]
    metrics = [name for name in log.columns if name not in ("loss", "learning_rate", *rates)]
    plots = [_training_svg(log, "loss", ["loss"])]
    if metrics:
        shares = all(name.endswith("accuracy") for name in metrics)
        plots.append(_training_svg(log, "accuracy" if shares else "metrics", metrics))
    if "learning_rate" in log.columns:
        plots.append(_training_svg(log, "learning rate", ["learning_rate"]))
    return plots


def false_positives_svg(found: FalsePositives) -> str:
    """The shares of the kinds among each class's best-scored false positives, by rank; "" without any."""
    shares = mean_shares(found.counts)  # (K, 3)
    most = found.counts.sum(axis=-1).max(initial=0)
    used = np.flatnonzero(found.ranks < 2 * most)
    if len(used) < 2:
        used = np.arange(min(2, len(found.ranks)))
    if np.isnan(shares).any():
        return ""

    def draw(axes: Axes) -> None:
        ranks = found.ranks[used]
        axes.stackplot(ranks, shares[used].T, labels=KINDS, colors=COLOURS[:3], alpha=0.8, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks(ranks, [f"{rank:,}" for rank in ranks])
        axes.minorticks_off()
        axes.set(
            xlim=(ranks[0], ranks[-1]), ylim=(0, 1), xlabel="first false positives of a class", ylabel="share"
        )
        _legend_above(axes, 3)

    return small_plot("kinds of false positives by rank", draw)


def confusion_uri(matrix: ConfusionMatrix) -> str:
    """The matrix as a PNG, a pixel an entry, background last: shares of the row, right blue and wrong orange."""
    counts = background_last(matrix.counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=np.bool_)
    pixels = np.zeros((*counts.shape, 4), np.uint8)
    pixels[..., :3] = np.where(right[..., None], RIGHT, WRONG)
    strength = np.where(right, shares, np.sqrt(shares))
    pixels[..., 3] = np.where(counts > 0, np.maximum(255 * strength, FAINTEST), 0)
    return png_uri(pixels)


def background_last(counts: Array) -> Array:
    """A matrix (C + 1, C + 1) with the row and the column of the background moved to the end."""
    return np.roll(counts, -1, axis=(0, 1))


def _training_svg(log: TrainingLog, label: str, names: list[str]) -> str:
    def draw(axes: Axes) -> None:
        for name, colour in zip(names, COLOURS, strict=False):
            steps, values = _thinned(log.steps), _thinned(log.columns[name])
            axes.plot(steps, values, color=colour, linewidth=2, label=name.replace("_", " "))
        dots = _held_out(log, names)
        for number, (name, values) in enumerate(dots.items()):
            colour = COLOURS[(len(names) + number) % len(COLOURS)]
            axes.plot(log.judged_steps, values, "o", color=colour, markersize=5, label=f"{name}, held out")
        axes.set(xlabel="step", ylabel=label)
        axes.set_xlim(0, max(log.steps.max(initial=0), 1))
        if label != "accuracy":
            axes.autoscale(axis="y")
            axes.set_ylim(bottom=0)
        if len(names) + len(dots) > 1:
            _legend_above(axes, 2)

    return small_plot(f"{log.name}: {label} by step", draw)


def _held_out(log: TrainingLog, names: list[str]) -> Mapping[str, Float64]:
    """Of the held-out numbers those that belong beside these columns."""
    wanted = ("loss",) if names == ["loss"] else ("accuracy",) if "learning_rate" not in names else ()
    return {name: values for name, values in log.judged.items() if name in wanted}


def _thinned(values: Float64) -> Float64:
    """`values`, or the means of so many equal pieces that a line needs no more."""
    if len(values) <= MOST_POINTS:
        return values
    return np.array([piece.mean() for piece in np.array_split(values, MOST_POINTS)])


def _legend_above(axes: Axes, columns: int) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=1.2,
        columnspacing=1.0,
        borderaxespad=0.2,
    )
