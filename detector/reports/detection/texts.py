"""The words and short texts of a detection report."""

import math

from detector.evaluation.metrics import decimal
from detector.evaluation.outcomes import protocol_of
from detector.reports.detection.report import DetectionReport
from detector.reports.detection.to_json import Tree

ERRORS = {
    "Cls": ("Class", "on an object of another class"),
    "Loc": ("Place", "right class, IoU 0.1 to 0.5"),
    "Both": ("Class and place", "another class, IoU 0.1 to 0.5"),
    "Dupe": ("Duplicate", "on an object found already"),
    "Bkg": ("Background", "on no object"),
    "Miss": ("Missed", "object without any of these"),
}
MINUTE, HOUR = 60, 3600  # seconds

MeanRow = tuple[str, str, float | None, float | None]
NumberRow = tuple[str, str, float | None]


def cards(content: DetectionReport, tree: Tree) -> list[tuple[str, str, str]]:
    """Number, name and 95% interval (or nothing) of what the report begins with, the main one first."""
    interval = interval_text(tree["mean_ap_with_objects_interval"])
    report = content.analysis.report
    own = (decimal(report.mean_ap), "mean AP", "")
    means = [own, (decimal(report.mean_ap_with_objects), "mean AP over classes with objects", interval)]
    if math.isclose(report.mean_ap, report.mean_ap_with_objects, abs_tol=1e-9):
        means = [(*own[:2], interval)]
    elif math.isnan(report.mean_ap):
        means.reverse()
    return [
        *means,
        (decimal(report.median_ap), "median AP", ""),
        (f"{content.case.num_images:,}", "images", ""),
        (f"{report.objects.sum():,}", "objects", ""),
        (f"{report.detections.sum():,}", "detections", ""),
    ]


def protocol_rows(tree: Tree) -> list[MeanRow]:
    """Name, meaning, mean AP and mean over the classes with objects of every protocol, the chosen one first."""
    rules = ((protocol_of(name), row) for name, row in _by_protocol(tree).items())
    return [(rule.title, rule.meaning, *_means(row)) for rule, row in rules]


def number_tables(tree: Tree) -> list[tuple[str, list[NumberRow]]]:
    """The further numbers of every protocol that has some: its title, and of each the name, meaning and value."""
    tables = []
    for name, row in _by_protocol(tree).items():
        rule = protocol_of(name)
        if rule.numbers:
            numbers = row[name]
            tables.append((rule.title, [(key, rule.numbers[key], value) for key, value in numbers.items()]))
    return tables


def method_rows(tree: Tree) -> list[MeanRow]:
    """The same of every method where there are several, the report's own last."""
    methods = tree.get("methods", {})
    return [(name, "", *_means(row)) for name, row in methods.items()] if len(methods) > 1 else []


def means_differ(rows: list[MeanRow]) -> bool:
    """Whether a protocol's mean is another than that over the classes with objects, in what is shown."""
    return any(decimal(mean) != decimal(with_objects) for *_, mean, with_objects in rows)


def _by_protocol(tree: Tree) -> dict[str, Tree]:
    """What the tree says of each protocol, the chosen one first."""
    return {tree["protocol"]: tree, **tree["protocols"]}


def _means(row: Tree) -> tuple[float | None, float | None]:
    return row["mean_ap"], row["mean_ap_with_objects"]


def interval_text(interval: list[float | None], form: str = ".3f") -> str:
    """Both ends as `form` writes numbers, nothing where they are not defined."""
    low, high = interval
    if low is None or high is None:
        return ""
    return f"{low:{form}} to {high:{form}}".replace("-", "\N{MINUS SIGN}")


def size_text(row: Tree) -> str:
    """A range of areas as the sides of squares, in pixels."""
    low, high = math.sqrt(row["from"]), row["to"]
    if high is None:
        return f"from {low:,.0f}² px"
    return f"under {math.sqrt(high):,.0f}² px" if not low else f"{low:,.0f}² to {math.sqrt(high):,.0f}² px"


def duration(seconds: float) -> str:
    """`seconds` as a person says them."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    if seconds < HOUR:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / MINUTE), MINUTE)
    return f"{hours} h {minutes} min"
