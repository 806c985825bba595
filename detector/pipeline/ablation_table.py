"""The table of an ablation: its lines, what they reach and what they cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detector.evaluation.metrics import decimal
from detector.inference.models import View
from detector.records import Bool, Float64


@dataclass(frozen=True)
class Way:
    """One line of the table: which views are averaged, and what is made of their scores.

    choices (R, K) bool are masks of the views: several are several models or runs to take the mean of.
    """

    name: str
    choices: Bool
    in_context: bool = False
    votes: bool = False


@dataclass(frozen=True)
class Row:
    """A line's results: mean AP (of several choices the mean and its standard error), and its cost.

    `passes` are forward passes of a region; `cost` is the time that scoring takes, of one model's.
    """

    name: str
    mean_ap: float
    standard_error: float | None
    change: float
    change_error: float | None
    passes: int
    regions_per_second: float
    cost: float


def ablation_ways(views: Sequence[View], has_context: bool) -> Iterator[Way]:
    """The lines of the table: from one model to everything."""
    number = np.array([view.detector for view in views])
    models = int(number.max()) + 1
    plain = np.array([view.is_own and not view.mirrored for view in views])
    sides = np.array([view.is_own for view in views])
    everything = np.ones((1, len(number)), np.bool_)

    def each(mask: Bool) -> Bool:
        return np.stack([mask & (number == k) for k in range(models)])

    yield Way("one model", each(plain))
    if (sides != plain).any():
        yield Way("one model, mirrored too", each(sides))
    if (sides != everything).any():
        yield Way("one model, all views", each(everything[0]))
    for count in range(2, models + 1):
        yield Way(f"{count} models", (plain & (number < count))[None])
    if (plain != everything).any() and models > 1:
        yield Way(f"{models} models, all views", everything)
    many = len(number) > 1
    if has_context:
        yield Way("one model, context", each(plain), in_context=True)
        if many:
            yield Way("everything, context", everything, in_context=True)
    yield Way("one model, box voting", each(plain), votes=True)
    if many:
        yield Way("everything, box voting", everything, votes=True)
    if many and has_context:
        yield Way("everything, context, box voting", everything, in_context=True, votes=True)


def make_rows(
    ways: Sequence[Way], results: Mapping[str, Sequence[float]], seconds: Mapping[int, tuple[float, int]]
) -> list[Row]:
    """The table: `results` are mean APs by name, `seconds` by forward passes those of so many regions."""
    single = results[ways[0].name]
    base_seconds, base_regions = seconds[1]
    rows = []
    for way in ways:
        found, passes = results[way.name], int(way.choices[0].sum())
        changes = np.subtract(found, single if len(found) == len(single) else float(np.mean(single)))
        took, regions = seconds[passes]
        cost = took / regions / (base_seconds / base_regions)
        rows.append(
            Row(
                way.name,
                *_mean_and_error(found),
                *_mean_and_error(changes),
                passes,
                regions / took,
                cost,
            )
        )
    return rows


def join_tables(tables: Sequence[Sequence[Row]]) -> list[Row]:
    """One table of several runs that differ in their seeds: means over the runs, with their standard errors."""
    rows = []
    for row in zip(*tables, strict=True):
        mean_ap, error = _mean_and_error([one.mean_ap for one in row])
        change, change_error = _mean_and_error([one.change for one in row])
        rate = float(np.mean([one.regions_per_second for one in row]))
        cost = float(np.mean([one.cost for one in row]))
        rows.append(Row(row[0].name, mean_ap, error, change, change_error, row[0].passes, rate, cost))
    return rows


def ablation_text(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| | mean AP | change | passes a region | regions a second | cost |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        mean_ap = decimal(row.mean_ap) + _plus_minus(row.standard_error)
        change = "" if row is rows[0] else f"{row.change:+.4f}{_plus_minus(row.change_error)}"
        lines.append(
            f"| {row.name} | {mean_ap} | {change} | {row.passes} | {row.regions_per_second:.0f} | {row.cost:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _plus_minus(error: float | None) -> str:
    return "" if error is None else f" ± {error:.4f}"


def _mean_and_error(values: Sequence[float] | Float64) -> tuple[float, float | None]:
    """The mean and, of several values, its standard error."""
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return float(np.mean(values)), error
