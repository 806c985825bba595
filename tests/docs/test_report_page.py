"""The page about reports names every key that they write."""

import re
from pathlib import Path
from typing import Any

from made_reports import comparison, everything

from detector.reports.comparison_report import comparison_tree
from detector.reports.detection.to_json import report_tree

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([a-z_0-9]+)`", PAGE))
BY_NAME = {"coco", "protocols", "methods", "seconds", "counts", "gains", "recall", "average_recall_by_size"}


def keys(tree: Any) -> set[str]:
    """The keys at any depth, but those that are names of something."""
    if isinstance(tree, list):
        return {key for entry in tree for key in keys(entry)}
    if not isinstance(tree, dict):
        return set()
    nested = [entry for key, entry in tree.items() if key not in BY_NAME]
    nested += [
        entry for key in BY_NAME & tree.keys() if isinstance(tree[key], dict) for entry in tree[key].values()
    ]
    return set(tree) - {"id"} | {key for entry in nested for key in keys(entry)}


def test_every_key_of_metrics_is_explained() -> None:
    found = keys(report_tree(everything()))
    assert found - NAMED == set()


def test_every_key_of_comparisons_is_explained() -> None:
    assert keys(comparison_tree(comparison(2))) - NAMED == set()
