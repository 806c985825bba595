import json
from dataclasses import replace
from pathlib import Path

from html_pages import Page

from detector.reports.ablation_report import (
    AblationReport,
    AblationRow,
    ablation_text,
    models_svg,
    write_ablation,
)

ONE = AblationRow("one model", 0.25, 0.02, 0.0, 0.0, 1, True, 1, 200.4, 1.0)
TWO = AblationRow("2 models", 0.3, None, 0.05, None, 2, True, 2, 110.0, 1.822)
THREE = AblationRow("3 models", 0.32, None, 0.07, None, 3, True, 3, 70.0, 2.9)
VOTED = AblationRow("one model, box voting", 0.24, 0.03, -0.01, 0.005, 1, False, 1, 200.4, 1.0)
ROWS = [ONE, TWO, THREE, VOTED]


def report(rows: list[AblationRow]) -> AblationReport:
    return AblationReport("<run>", "voc2010", rows, "the 3 models", {"Data": "a|b <c>"})


def test_table_has_errors_where_there_are_any_and_no_change_of_the_first_row() -> None:
    assert ablation_text(ROWS).splitlines()[2:] == [
        "| one model | 0.2500 ± 0.0200 |  | 1 | 200 | 1.00 |",
        "| 2 models | 0.3000 | +0.0500 | 2 | 110 | 1.82 |",
        "| 3 models | 0.3200 | +0.0700 | 3 | 70 | 2.90 |",
        "| one model, box voting | 0.2400 ± 0.0300 | \N{MINUS SIGN}0.0100 ± 0.0050 | 1 | 200 | 1.00 |",
    ]


def test_page_is_well_formed_and_needs_no_other_file(tmp_path: Path) -> None:
    text = write_ablation(tmp_path, report(ROWS)).read_text()
    page = Page(text)
    assert page.open == []
    assert all(address.startswith("#") for address in page.addresses)
    assert "<run>" not in text
    assert "<c>" not in text
    assert "VOC 2010" in text
    assert 'title="standard error: \N{MINUS SIGN}0.0150' in text or 'title="standard error: -0.0150' in text
    markdown = (tmp_path / "report.md").read_text()
    assert ablation_text(ROWS) in markdown
    assert "a\\|b &lt;c>" in markdown
    tree = json.loads((tmp_path / "ablation.json").read_text())
    assert [row["mean_ap"] for row in tree["rows"]] == [0.25, 0.3, 0.32, 0.24]


def test_three_numbers_of_models_make_a_plot_and_two_do_not() -> None:
    assert models_svg(ROWS).startswith("<svg")
    assert models_svg([ONE, TWO, replace(THREE, is_plain=False)]) == ""


def test_a_table_without_differences_can_be_drawn(tmp_path: Path) -> None:
    assert "0.0000" in write_ablation(tmp_path, report([ONE, replace(VOTED, change=0.0)])).read_text()
