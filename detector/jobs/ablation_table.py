"""The table of an ablation: its lines, what they reach and what they cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.inference.models import View
from detector.records import Bool, Float64
from detector.reports.ablation_report import AblationRow


@dataclass(frozen=True)
class Way:
    """One line of the table: which views are averaged, and what is made of their scores.

    choices (R, K) bool are masks of the views: several are several models, or several sets of them, to take the
    mean of. `models` take part in each; `is_plain`: each by its own view, and nothing after.
    """

    name: str
    choices: Bool
    models: int = 1
    is_plain: bool = False
    in_context: bool = False
    votes: bool = False


def ablation_ways(views: Sequence[View], has_context: bool) -> Iterator[Way]:
    """The lines of the table: from one model to everything."""
    number = np.array([view.detector for view in views])
    models = int(number.max()) + 1
    plain = np.array([view.is_own and not view.mirrored for view in views])
    sides = np.array([view.is_own for view in views])
    everything = np.ones((1, len(number)), np.bool_)

    def each(mask: Bool) -> Bool:
        return np.stack([mask & (number == k) for k in range(models)])

    yield Way("one model", each(plain), is_plain=True)
    if (sides != plain).any():
        yield Way("one model, mirrored too", each(sides))
    if (sides != everything).any():
        yield Way("one model, all views", each(everything[0]))
    for count in range(2, models + 1):
        starts = range(models if count < models else 1)
        chosen = np.stack([plain & ((number - start) % models < count) for start in starts])
        yield Way(f"{count} models", chosen, count, is_plain=True)
    if (plain != everything).any() and models > 1:
        yield Way(f"{models} models, all views", everything, models)
    many = len(number) > 1
    all_of_it = f"{models} models" if plain.all() else "everything"
    if has_context:
        yield Way("one model, context", each(plain), in_context=True)
        if many:
            yield Way(f"{all_of_it}, context", everything, models, in_context=True)
    yield Way("one model, box voting", each(plain), votes=True)
    if many:
        yield Way(f"{all_of_it}, box voting", everything, models, votes=True)
    if has_context:
        whole = all_of_it if many else "one model"
        yield Way(f"{whole}, context, box voting", everything, models, in_context=True, votes=True)


def make_rows(
    ways: Sequence[Way], results: Mapping[str, Sequence[float]], seconds: Mapping[int, tuple[float, int]]
) -> list[AblationRow]:
    """The table: `results` are mean APs by name, `seconds` by forward passes those of so many regions.

    Means over single models have a standard error; sets of models share some, so theirs would be too small.
    """
    single = results[ways[0].name]
    base_seconds, base_regions = seconds[1]
    rows = []
    for way in ways:
        found, passes = results[way.name], int(way.choices[0].sum())
        mean_ap, error = _mean_and_error(found)
        change, change_error = mean_ap - float(np.mean(single)), None
        if way.models == 1:
            change_error = _mean_and_error(np.subtract(found, single))[1]
        took, regions = seconds[passes]
        rows.append(
            AblationRow(
                way.name,
                mean_ap,
                error if way.models == 1 else None,
                change,
                change_error,
                way.models,
                way.is_plain,
                passes,
                regions / took,
                took / regions / (base_seconds / base_regions),
            )
        )
    return rows


def join_tables(tables: Sequence[Sequence[AblationRow]]) -> list[AblationRow]:
    """One table of several runs that differ in their seeds: means over the runs, with their standard errors."""
    rows = []
    for row in zip(*tables, strict=True):
        mean_ap, error = _mean_and_error([one.mean_ap for one in row])
        change, change_error = _mean_and_error([one.change for one in row])
        rate = float(np.mean([one.regions_per_second for one in row]))
        cost = float(np.mean([one.cost for one in row]))
        rows.append(
            replace(
                row[0],
                mean_ap=mean_ap,
                standard_error=error,
                change=change,
                change_error=change_error,
                regions_per_second=rate,
                cost=cost,
            )
        )
    return rows


def _mean_and_error(values: Sequence[float] | Float64) -> tuple[float, float | None]:
    """The mean and, of several values, its standard error."""
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return float(np.mean(values)), error
