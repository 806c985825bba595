import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from html_pages import Page

from detector.data.classes import ClassList
from detector.evaluation.recall import CURVE_BUDGETS, Coverage, measure_coverage
from detector.records import object_table
from detector.reports.recall_curves import IOUS, line_of, recall_by_boxes_svg, recall_curve
from detector.reports.recall_report import (
    recall_headline,
    recall_remarks,
    recall_text,
    recall_tree,
    write_recall_report,
)

CLASSES = ClassList(("apple", "<b>pear & co|ltd</b>", "plum"), ("n1", "n2", "n3"))
OBJECT = (0.0, 0.0, 100.0, 100.0)


def coverage(*heights: float, objects: int = 2) -> Coverage:
    """One image with an apple and a small plum; boxes of the apple's width and these heights."""
    boxes = np.array([(0, 0, 100, height) for height in heights], np.float32).reshape(-1, 4)
    truth = np.array([OBJECT, (500, 500, 510, 510)])[:objects]
    flags = np.zeros(objects, np.bool_)
    table = object_table(np.zeros(objects, np.int64), truth, np.array([1, 3])[:objects], flags, flags)
    return measure_coverage(table, [boxes], [*CURVE_BUDGETS, 2])


def test_tree_of_one_source_by_hand() -> None:
    tree = recall_tree({"mine": coverage(60, 80, 75)}, CLASSES, [2, 500])
    json.dumps(tree, allow_nan=False)
    assert (tree["images"], tree["objects"]) == (1, 2)
    assert tree["objects_by_size"] == {"small": 1, "medium": 0, "large": 1}
    assert [row["objects"] for row in tree["classes"]] == [1, 0, 1]
    (source,) = tree["sources"]
    assert [(row["budget"], row["boxes_per_image"]) for row in source["rows"]] == [(2, 2), (None, 3)]
    last = source["rows"][-1]
    assert last["recall"] == {"0.5": 0.5, "0.7": 0.5, "0.9": 0}
    assert last["average_recall"] == pytest.approx(0.3)
    assert last["average_recall_by_size"] == {"small": 0, "medium": None, "large": pytest.approx(0.6)}
    assert last["mabo"] == pytest.approx((0.8 + 0) / 2)
    assert source["classes"]["recall_0.5"] == [1, None, 0]
    assert source["by_boxes"]["budget"] == [1, 2, 3]
    assert source["by_boxes"]["recall_0.7"] == [0, 0.5, 0.5]
    assert source["by_boxes"]["average_recall"] == pytest.approx([0.1, 0.3, 0.3])
    assert (source["by_iou"]["iou"][0], source["by_iou"]["iou"][-1]) == (0.5, 1)


def test_recall_curve_falls_where_an_overlap_ends() -> None:
    curve = recall_curve(coverage(75))
    assert curve[IOUS <= 0.75].tolist() == [0.5] * 51
    assert not curve[IOUS > 0.75].any()


def test_text_has_a_row_for_each_budget_that_has_boxes() -> None:
    tree = recall_tree({"mine": coverage(60, 80, 75), "other": coverage(90)}, CLASSES, [2, 500])
    rows = [" ".join(line.split()) for line in recall_text(tree).splitlines()]
    assert rows[1] == "mine 2 2.0 0.5000 0.5000 0.0000 0.3000 0.0000 \N{EN DASH} 0.6000 0.4000"
    assert rows[2].startswith("all 3.0 ")
    assert rows[3].startswith("other all 1.0 0.5000 ")
    assert rows[-1] == "1 of the 3 classes have no object here."


def test_headline_names_each_of_several_sources() -> None:
    one = recall_tree({"mine": coverage(80)}, CLASSES, [])
    assert recall_headline(one)[:2] == [("average recall", "0.3000"), ("recall at IoU 0.5", "0.5000")]
    two = recall_tree({"mine": coverage(80), "other": coverage(50)}, CLASSES, [])
    assert recall_headline(two)[:2] == [("AR of mine", "0.3000"), ("AR of other", "0.0000")]


def test_remarks_name_a_source_without_boxes() -> None:
    tree = recall_tree({"mine": coverage()}, ClassList(("apple", "pear", "plum")), [2])
    assert "mine has no boxes." in recall_remarks(tree)


@pytest.mark.parametrize("sources", [1, 2, 20])
def test_report_is_one_well_formed_page_without_outside_addresses(tmp_path: Path, sources: int) -> None:
    coverages = {f'"<{number}>|': coverage(60, 80) for number in range(sources)}
    path = write_recall_report(tmp_path, coverages, CLASSES, [1], {"Data": "<i>mine</i>"}, title="T & Co")
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(address.startswith("#") for address in page.addresses)
    assert max(Counter(page.names).values()) == 1
    assert "<b>pear" not in text
    assert "&lt;i&gt;mine" in text
    assert "nan" not in text.lower()


def test_report_writes_three_files(tmp_path: Path) -> None:
    coverages = {"mine|": coverage(60, 80)}
    path = write_recall_report(tmp_path / "new", coverages, CLASSES, [1], html_name="index.html")
    assert {entry.name for entry in path.parent.iterdir()} == {"recall.json", "report.md", "index.html"}
    assert json.loads((tmp_path / "new/recall.json").read_text()) == recall_tree(coverages, CLASSES, [1])
    markdown = (tmp_path / "new/report.md").read_text()
    assert "| mine\\| | 1 | 1.0 | 0.5000 | 0.0000 |" in markdown
    assert "| 1 | apple | n1 | 1 | 1.0000 | 0.6000 |" in markdown
    table_lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert "\n\n\n" not in markdown and len(table_lines) == 2 + 2 + 2 + 3


def test_report_of_the_same_numbers_is_the_same_page(tmp_path: Path) -> None:
    pages = [write_recall_report(tmp_path / n, {"mine": coverage(60)}, CLASSES, []).read_text() for n in "ab"]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("objects", [0, 2])
def test_nothing_at_all_is_a_report_too(tmp_path: Path, objects: int) -> None:
    path = write_recall_report(tmp_path, {"mine": coverage(objects=objects)}, CLASSES, [100])
    assert "mine has no boxes." in path.read_text()


def test_lines_of_eighteen_sources_differ() -> None:
    assert len({line_of(number) for number in range(18)}) == 18
    assert line_of(18) == line_of(0)
    assert line_of(0).svg_dashes == "none"
    assert re.fullmatch(r"[\d. ]+", line_of(6).svg_dashes)


def test_pictures_take_the_colour_of_the_text() -> None:
    picture = recall_by_boxes_svg({"mine": coverage(60, 80)})
    assert picture.startswith('<svg role="img" aria-label="recall at IoU 0.5 by boxes an image"')
    assert "currentColor" in picture
