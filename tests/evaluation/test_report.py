import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from detector.data.classes import ClassList
from detector.evaluation.curves import curves_svg, precision_at, sparkline
from detector.evaluation.metrics import metrics_tree, ranking, remarks, summary_text
from detector.evaluation.protocols import evaluate
from detector.evaluation.report import Picture, write_report
from detector.records import DetectionTable, Float64, Report, object_table

CLASSES = ClassList(("apple", "<b>pear & co|ltd</b>", "plum"), ("n1", "n2", "n3"))
VOID_TAGS = {"meta", "img", "input", "br", "path", "use"}


def report(protocol: str = "ilsvrc", num_classes: int = 3) -> Report:
    """Class 1 is found, class 2 has a detection and no object, the last has an object and no detection."""
    box = np.array([[0.0, 0.0, 50.0, 50.0]])
    flags = np.zeros(2, np.bool_)
    objects = object_table(np.zeros(2, np.int64), box.repeat(2, axis=0), np.array([1, num_classes]), flags, flags)
    detections = DetectionTable(
        np.zeros(2, np.int64), box.repeat(2, axis=0), np.array([1, 2]), np.array([0.75, 0.5])
    )
    blacklist = np.empty((0, 2), np.int64)
    return evaluate(protocol, objects, detections, 1, num_classes, blacklist)  # type: ignore[arg-type]


class Page(HTMLParser):
    """Checks that tags are closed in order and collects addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID_TAGS:
            assert self.open.pop() == tag


def test_metrics_tree_has_null_for_nan() -> None:
    tree = metrics_tree(report(), CLASSES)
    assert tree == {
        "protocol": "ilsvrc",
        "mean_ap": None,
        "median_ap": None,
        "mean_ap_with_objects": 0.5,
        "classes": [
            {"id": 1, "wnid": "n1", "name": "apple", "ap": 1.0, "objects": 1, "detections": 1},
            {"id": 2, "wnid": "n2", "name": CLASSES.names[1], "ap": None, "objects": 0, "detections": 1},
            {"id": 3, "wnid": "n3", "name": "plum", "ap": 0.0, "objects": 1, "detections": 0},
        ],
    }
    json.dumps(tree, allow_nan=False)


def test_metrics_tree_of_coco_has_its_twelve_numbers_and_the_files_ids() -> None:
    tree = metrics_tree(report("coco"), ClassList(("a", "b", "c")), ids=(1, 5, 90))
    assert len(tree["coco"]) == 12
    assert [(row["id"], row["wnid"]) for row in tree["classes"]] == [(1, ""), (5, ""), (90, "")]


def test_summary_lists_the_classes_and_the_means() -> None:
    lines = summary_text(report("voc2010"), ClassList(("apple", "pear", "plum"))).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["class", "AP", "objects", "detections"],
        ["apple", "1.0000", "1", "1"],
        ["pear", "\N{EN DASH}", "0", "1"],
        ["plum", "0.0000", "1", "0"],
    ]
    assert lines[5].split() == ["mean", "AP", "0.5000"]
    assert lines[-1] == "1 of the 3 classes have no object here."


def test_remarks_say_why_the_mean_of_ilsvrc_is_not_defined() -> None:
    assert any("1 classes have detections and no object" in line for line in remarks(report()))
    assert remarks(report(num_classes=2))[:1] == []


def test_ranking_names_the_best_and_the_worst_only_among_many() -> None:
    rows = [{"name": str(n), "ap": n / 20, "objects": 1} for n in range(20)] + [{"ap": None, "objects": 0}]
    best, worst = ranking({"classes": rows}, 5)
    assert [row["name"] for row in best] == ["19", "18", "17", "16", "15"]
    assert [row["name"] for row in worst] == ["0", "1", "2", "3", "4"]
    assert ranking({"classes": rows[:10]}, 5) == ([], [])


@pytest.mark.parametrize("protocol", ["ilsvrc", "voc2007", "voc2010", "coco"])
def test_report_is_one_well_formed_page_without_outside_addresses(tmp_path: Path, protocol: str) -> None:
    picture = Picture('a "quoted" <name>', np.zeros((8, 6, 3), np.uint8))
    path = write_report(tmp_path, report(protocol), CLASSES, [picture], {"Model": "<i>mine</i>"}, title="T & Co")
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in page.addresses)
    assert "<b>pear" not in text
    assert "&lt;i&gt;mine" in text
    assert "nan" not in text.lower().replace("nano", "")


def test_report_writes_three_files_and_names_the_page(tmp_path: Path) -> None:
    path = write_report(tmp_path / "new", report(), CLASSES, html_name="index.html")
    assert path == tmp_path / "new/index.html"
    assert {entry.name for entry in path.parent.iterdir()} == {"metrics.json", "report.md", "index.html"}
    assert json.loads((tmp_path / "new/metrics.json").read_text()) == metrics_tree(report(), CLASSES)
    assert "| 2 | <b>pear & co\\|ltd</b> | n2 | \N{EN DASH} | 0 | 1 |" in (tmp_path / "new/report.md").read_text()


def test_report_of_the_same_numbers_is_the_same_page(tmp_path: Path) -> None:
    pages = [write_report(tmp_path / name, report(), CLASSES).read_text() for name in "ab"]
    assert pages[0] == pages[1]


def made_up(ap: Float64, objects: int, curves: list[tuple[Float64, Float64]]) -> Report:
    counts = np.full(len(ap), objects, np.int64)
    recall, precision = zip(*curves, strict=True)
    return Report("voc2010", ap, counts, counts, 0.5, 0.5, 0.5, recall, precision, {})


def test_report_of_two_hundred_classes_sums_their_curves_up(tmp_path: Path) -> None:
    random, count = np.random.default_rng(0), 200
    curves = [(np.linspace(0.1, 0.9, 9), np.sort(random.random(9))[::-1]) for _ in range(count)]
    big = made_up(random.random(count), 1, curves)
    text = write_report(tmp_path, big, ClassList(tuple(f"class {c}" for c in range(count)))).read_text()
    assert "mean of the classes" in text
    assert text.count('<td class="spark"><svg') == count
    assert len(text) < 1_000_000


def test_curves_without_any_object_are_empty_axes() -> None:
    nothing = made_up(np.array([math.nan]), 0, [(np.empty(0), np.empty(0))])
    assert curves_svg(nothing, ("apple",)).startswith("<svg")


def test_precision_at_a_recall_is_the_best_from_there_on() -> None:
    recall, precision = np.array([0.25, 0.5, 0.5, 0.75]), np.array([1.0, 0.5, 0.4, 0.6])
    assert precision_at(recall, precision, np.array([0, 0.25, 0.3, 0.75, 0.8])).tolist() == [1, 1, 0.6, 0.6, 0]
    assert precision_at(np.empty(0), np.empty(0), np.array([0.0, 1.0])).tolist() == [0, 0]
    assert precision_at(np.array([math.nan]), np.array([0.0]), np.array([0.5])).tolist() == [0]


def test_sparkline_ends_where_the_curve_does() -> None:
    assert sparkline(np.array([0.04]), np.array([1.0])) == "M0 0L4 0"
    assert sparkline(np.array([0.0]), np.array([0.0])) == ""
