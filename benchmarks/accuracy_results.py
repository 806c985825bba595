"""The results of `accuracy.py`: kept as JSON, told as a Markdown table and a plot."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detector.errors import DataError
from detector.files import read_json, write_atomically, write_text
from detector.runs.environment import environment_notes

TITLES = {"crops": "ours, crops", "shared": "ours, shared maps", "faster_rcnn": "torchvision's Faster R-CNN"}
COLOURS = {"crops": "#2f7fd1", "shared": "#009e73", "faster_rcnn": "#d55e00"}
SCORES = {"voc_ap50": "VOC AP50", "coco_ap": "COCO AP"}
COLUMNS = ("trained", "seed", "budget, s", "used, s", "steps", *SCORES.values(), "test, s an image")

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a pilot measured, in seconds: one step of fine-tuning, and all else that a training does."""

    step: float
    rest: float

    def steps(self, budget: float) -> int:
        """The steps with which a training takes the budget, below 1 where it is too short for any."""
        return math.floor((budget - self.rest) / self.step)


class Results:
    """What is done, in the folder `out`: results.json, results.md and results.png.

    DataError where results of other `settings` lie there.
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.out = out
        settings = json.loads(json.dumps(settings))
        self.tree: dict[str, Any] = {"settings": settings, "notes": {}, "plans": {}, "results": []}
        if self.path.exists():
            kept = read_json(self.path, "results")
            if not isinstance(kept, dict) or kept.get("settings") != settings:
                raise DataError(f"--out must be a folder without results of other settings, got {out}")
            self.tree = kept
        self.tree["notes"] = environment_notes()

    @property
    def path(self) -> Path:
        """The file of all numbers."""
        return self.out / "results.json"

    def row(self, method: str, budget: float, seed: int, make: Callable[[], Row]) -> Row:
        """The result of a training, which `make` does unless it is there."""
        wanted = {"method": method, "budget": budget, "seed": seed}
        for row in self.rows():
            if wanted.items() <= row.items():
                return row
        row = {**wanted, **make()}
        self.tree["results"].append(row)
        self.write()
        return row

    def plan(self, method: str, make: Callable[[], Plan]) -> Plan:
        """What `make` measures of a method before its trainings, once."""
        if method not in self.tree["plans"]:
            self.tree["plans"][method] = asdict(make())
            self.write()
        return Plan(**self.tree["plans"][method])

    def rows(self) -> list[Row]:
        """All results, in the order of the methods, seeds and budgets."""
        order = list(TITLES)
        return sorted(self.tree["results"], key=lambda r: (order.index(r["method"]), r["seed"], r["budget"]))

    def write(self) -> None:
        """Write what there is."""
        write_text(self.path, json.dumps(self.tree, indent=2) + "\n")
        notes = "\n".join(f"{name}: {text}" for name, text in self.tree["notes"].items())
        write_text(self.out / "results.md", f"{notes}\n\n{self.table()}")
        with write_atomically(self.out / "results.png") as temporary:
            draw(self.rows(), temporary)

    def table(self) -> str:
        """A Markdown table of all results."""
        lines = [cells_of(row) for row in self.rows()]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (COLUMNS, ("---",) * len(COLUMNS), *lines))


def cells_of(row: Row) -> tuple[str, ...]:
    """A line of the table."""
    title = TITLES[row["method"]] + (f" at {row['rate']:g}" if "rate" in row else "")
    begin = (title, f"{row['seed']}", f"{row['budget']:g}")
    if "too_short" in row:
        return (*begin, row["too_short"], "", "", "", "")
    scores = (f"{100 * row[name]:.1f}" for name in SCORES)
    return (*begin, f"{row['seconds']:.1f}", f"{row['steps']}", *scores, f"{row['test_seconds']:.2f}")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Average precision by the seconds that trainings took: a point a training, a line through the means."""
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(SCORES)), SCORES.items(), strict=True):
        for method, label in TITLES.items():
            points = [row for row in rows if row["method"] == method and name in row]
            if not points:
                continue
            axes.scatter([p["seconds"] for p in points], [100 * p[name] for p in points], color=COLOURS[method])
            axes.plot(*zip(*means(points, name), strict=True), color=COLOURS[method], label=label)
        axes.set_xscale("log", subs=[2, 5])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.set_ylim(bottom=0)
        axes.set(xlabel="seconds of training", ylabel=f"{title} on the test split, %")
        axes.grid(alpha=0.3)
        axes.legend(*axes.get_legend_handles_labels(), loc="best")
    FigureCanvasAgg(figure).print_png(path)


def means(rows: Sequence[Row], name: str) -> Iterator[tuple[float, float]]:
    """The seconds and the score in percent of each budget, over the seeds."""
    for budget in sorted({row["budget"] for row in rows}):
        same = [row for row in rows if row["budget"] == budget]
        yield fmean(row["seconds"] for row in same), 100 * fmean(row[name] for row in same)
