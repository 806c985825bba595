"""The report of runs compared on the same images: comparison.json, report.md and one HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from detector.evaluation.comparison import Comparison, changed_images
from detector.evaluation.metrics import MISSING, Classes, decimal, finite, signed
from detector.evaluation.outcomes import protocol_of
from detector.files import write_text
from detector.records import Array
from detector.reports.detection.picture_choice import Picture
from detector.reports.detection.texts import interval_text
from detector.reports.detection.to_json import Tree, json_text, listed
from detector.reports.embedded import jpeg_uri
from detector.reports.pages import page_environment

MOST_LISTED = 30  # changed images in the tables of the pages; comparison.json has all
TEXT_CLASSES = 10  # in what a command prints
SMALLEST_REACH = 0.01  # of the bars of differences
SIGNED = "+.3f"


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run beside the first: `comparison` is its numbers less the first's.

    `pictures` are pairs of the same image with the first run's detections and with this one's.
    """

    name: str
    comparison: Comparison
    pictures: Sequence[tuple[Picture, Picture]] = ()


@dataclass(frozen=True, eq=False)
class ComparisonReport:
    """The run `first` and others on the same `image_names`; objects (C,) are those that count of each class."""

    protocol: str
    classes: Classes
    objects: Array
    image_names: Array
    first: str
    runs: Sequence[ComparedRun]
    notes: Mapping[str, str] = field(default_factory=dict)


def write_comparison(folder: Path, content: ComparisonReport) -> Path:
    """Write comparison.json, report.md and index.html into `folder`; returns the page's path."""
    tree = comparison_tree(content)
    context = {
        "title": "Comparison of " + ", ".join([content.first, *(run.name for run in content.runs)]),
        "protocol": protocol_of(content.protocol).words,
        "tree": tree,
        "verdicts": [verdict(content.first, run) for run in tree["runs"]],
        "letters": [_letter(number) for number in range(len(content.runs) + 1)],
        "reaches": [_reach(run.comparison) for run in content.runs],
        "most_listed": MOST_LISTED,
        "notes": dict(content.notes),
    }
    environment = page_environment()
    environment.filters.update(interval=lambda ends: interval_text(ends, SIGNED), percent=_percent)
    write_text(folder / "comparison.json", json_text(tree) + "\n")
    write_text(folder / "report.md", environment.get_template("comparison.md.j2").render(context))
    pairs = [
        [[(picture.caption, jpeg_uri(picture.image)) for picture in pair] for pair in run.pictures]
        for run in content.runs
    ]
    page = environment.get_template("comparison.html.j2").render(context, pairs=pairs)
    write_text(folder / "index.html", page)
    return folder / "index.html"


def comparison_tree(content: ComparisonReport) -> Tree:
    """The numbers for strict JSON: None stands for NaN, and of two numbers the first run's is first."""
    return {
        "protocol": content.protocol,
        "images": len(content.image_names),
        "first": {"name": content.first, "mean_ap": finite(content.runs[0].comparison.mean_ap[1])},
        "runs": [_run_tree(content, run) for run in content.runs],
    }


def verdict(first: str, run: Tree) -> str:
    """The result in a sentence."""
    if run["difference"] is None:
        return f"{run['name']} and {first} cannot be compared: no class has objects."
    low, high = run["interval"]
    if low == high == 0 and not run["changed"]:
        return f"{run['name']} and {first} are the same on every image."
    if low <= 0 <= high:
        return f"No difference between {run['name']} and {first} can be told from these images."
    word = "better" if run["difference"] > 0 else "worse"
    return f"{run['name']} is {word} than {first} by {abs(run['difference']):.4f} mean AP."


def comparison_text(content: ComparisonReport) -> str:
    """What a command prints: the runs, and the classes and images that changed most."""
    tree = comparison_tree(content)
    width = max(len(name) for name in (content.first, *(run["name"] for run in tree["runs"])))
    lines = [f"{'':{width}}  mean AP  difference  95%"]
    lines.append(f"{content.first:{width}}  {decimal(tree['first']['mean_ap']):>7}")
    for run in tree["runs"]:
        ends = interval_text(run["interval"], SIGNED)
        lines.append(
            f"{run['name']:{width}}  {decimal(run['mean_ap']):>7}  {signed(run['difference']):>10}  {ends}"
        )
    for run in tree["runs"]:
        known = [row for row in run["classes"] if row["difference"]]
        most = sorted(known, key=lambda row: -abs(row["difference"]))[:TEXT_CLASSES]
        lines += ["", verdict(content.first, run), f"{len(run['changed'])} images changed."]
        lines += [f"  {signed(row['difference'])}  {row['name']}" for row in most]
    return "\n".join(lines) + "\n"


def _run_tree(content: ComparisonReport, run: ComparedRun) -> Tree:
    found = run.comparison
    return {
        "name": run.name,
        "mean_ap": finite(found.mean_ap[0]),
        "difference": finite(found.difference),
        "interval": listed(found.difference_interval),
        "better": finite(found.first_better),
        "classes": _class_rows(content, found),
        "changed": [
            {
                "image": str(content.image_names[i]),
                "hits": found.hits[::-1, i].tolist(),
                "misses": found.misses[::-1, i].tolist(),
            }
            for i in changed_images(found, len(content.image_names)).tolist()
        ],
    }


def _class_rows(content: ComparisonReport, found: Comparison) -> list[dict[str, Any]]:
    columns = found.ap[1], found.ap[0], found.ap_difference, found.ap_difference_intervals
    rows = zip(content.classes.names, content.objects, *columns, strict=True)
    return [
        {
            "id": label,
            "name": name,
            "objects": int(objects),
            "ap": [finite(before), finite(after)],
            "difference": finite(difference),
            "interval": listed(interval),
        }
        for label, (name, objects, before, after, difference, interval) in enumerate(rows, 1)
    ]


def _reach(found: Comparison) -> float:
    """Half the width of the bars of the classes' differences: all intervals, or twice the largest difference."""
    largest = np.nanmax(np.abs(np.append(found.ap_difference, SMALLEST_REACH)))
    ends = np.nanmax(np.abs(np.append(found.ap_difference_intervals, SMALLEST_REACH)))
    return float(min(2 * largest, ends))


def _letter(number: int) -> str:
    """A, B, C, ... for the runs; numbers after Z."""
    return ascii_uppercase[number] if number < len(ascii_uppercase) else str(number)


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.0f}%"
