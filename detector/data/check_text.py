"""A check of a data set as text."""

from collections.abc import Iterator

import numpy as np

from detector.data.check import SEVERITIES, CheckedSplit, DataCheck, Finding
from detector.text import one_line

QUANTILE_NAMES = ("least", "5%", "median", "95%", "most")
LONGEST_LINE = 10_000  # characters
TABLE_CLASSES = 40  # more are not listed one by one


def check_text(check: DataCheck, cases: int) -> str:
    """The numbers of every split, the table of classes, and the findings with their first `cases` (0: all)."""
    lines: list[str] = []
    for split in check.splits:
        lines += [*_split_lines(split, check), ""]
    if len(check.classes) <= TABLE_CLASSES:
        lines += [*_class_lines(check), ""]
    for finding in check.findings:
        lines += _finding_lines(finding, cases)
    lines.append(tally(check))
    return "\n".join(one_line(line, LONGEST_LINE) for line in lines) + "\n"


def findings_text(check: DataCheck) -> list[str]:
    """A line for each error and warning, with its first case."""
    told = [finding for finding in check.findings if finding.severity != SEVERITIES[-1]]
    return [
        one_line(f"{found.severity}: {found.split}: {len(found.cases)} {found.text} ({found.cases[0]})")
        for found in told
    ]


def tally(check: DataCheck) -> str:
    """How many findings there are of each severity."""
    counts = [(check.count(severity), severity) for severity in SEVERITIES]
    return ", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for count, severity in counts)


def short_number(value: float) -> str:
    """Three digits that tell something: 1234, 12.3, 0.0123."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _split_lines(split: CheckedSplit, check: DataCheck) -> Iterator[str]:
    objects = split.objects
    yield (
        f"{split.raw.title}: {len(split.raw)} images, {len(split.labels)} objects, "
        f"{int(objects.sum())} of them usable, in {np.count_nonzero(objects)} of {len(check.classes)} classes"
    )
    if np.any(objects):
        low, high = int(objects.argmin()), int(objects.argmax())
        names = check.classes.names
        yield (
            f"  objects a class: {objects[low]} ({names[low]}) to {objects[high]} ({names[high]}), "
            f"median {short_number(float(np.median(objects)))}"
        )
        width = max(map(len, split.quantiles))
        yield f"  {'':{width}}" + "".join(f"{name:>9}" for name in QUANTILE_NAMES)
        for name, values in split.quantiles.items():
            yield f"  {name:{width}}" + "".join(f"{short_number(value):>9}" for value in values.tolist())


def _class_lines(check: DataCheck) -> Iterator[str]:
    """Usable objects of each class in each split."""
    width = max(len("class"), *map(len, check.classes.names))
    columns = [(split.raw.title, max(8, len(split.raw.title)), split.objects.tolist()) for split in check.splits]
    yield f"{'class':{width}}" + "".join(f"  {name:>{side}}" for name, side, _ in columns)
    for row, name in enumerate(check.classes.names):
        yield f"{name:{width}}" + "".join(f"  {objects[row]:>{side}}" for _, side, objects in columns)


def _finding_lines(finding: Finding, cases: int) -> Iterator[str]:
    yield f"{finding.severity}: {finding.split}: {len(finding.cases)} {finding.text}"
    shown = finding.cases[: cases or len(finding.cases)]
    yield from (f"  {case}" for case in shown)
    if len(shown) < len(finding.cases):
        yield f"  and {len(finding.cases) - len(shown)} more"
