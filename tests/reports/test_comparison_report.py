import json
from pathlib import Path

import pytest
from html_pages import Page
from made_reports import comparison

from detector.reports.comparison_report import (
    comparison_text,
    comparison_tree,
    verdict,
    write_comparison,
)


def test_the_first_runs_numbers_come_first() -> None:
    content = comparison()
    tree = comparison_tree(content)
    (run,) = tree["runs"]
    found = content.runs[0].comparison
    assert (run["mean_ap"], tree["first"]["mean_ap"]) == tuple(found.mean_ap)
    assert run["difference"] == pytest.approx(run["mean_ap"] - tree["first"]["mean_ap"])
    for row in run["classes"]:
        if row["difference"] is not None:
            assert row["difference"] == pytest.approx(row["ap"][1] - row["ap"][0])
    for row in run["changed"]:
        position = int(row["image"])
        assert row["hits"] == [found.hits[1, position], found.hits[0, position]]


@pytest.mark.parametrize("others", [1, 3])
def test_page_is_well_formed_and_needs_no_other_file(tmp_path: Path, others: int) -> None:
    text = write_comparison(tmp_path, comparison(others)).read_text()
    page = Page(text)
    assert page.open == []
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "b<0>" not in text
    assert text.count('class="sortable"') == others
    json.loads((tmp_path / "comparison.json").read_text())
    rows = [line for line in (tmp_path / "report.md").read_text().splitlines() if line.startswith("| b&lt;")]
    assert len(rows) == others


@pytest.mark.parametrize(
    ("difference", "interval", "words"),
    [
        (0.1, [0.05, 0.15], "b is better than a by 0.1000 mean AP."),
        (-0.1, [-0.15, -0.05], "b is worse than a by 0.1000 mean AP."),
        (0.1, [-0.05, 0.25], "No difference between b and a can be told from these images."),
        (None, [None, None], "b and a cannot be compared: no class has objects."),
    ],
)
def test_verdict_says_whether_chance_can_explain_it(
    difference: float | None, interval: list[float | None], words: str
) -> None:
    assert verdict("a", {"name": "b", "difference": difference, "interval": interval, "changed": []}) == words


def test_text_lists_the_runs_and_the_classes_that_changed() -> None:
    text = comparison_text(comparison(2))
    assert text.splitlines()[1].split() == ["a|a", *text.splitlines()[1].split()[1:]]
    assert text.count("images changed.") == 2
