import json

import numpy as np
import pytest

from detector.data.classes import ClassList
from detector.evaluation.evaluator import evaluate
from detector.evaluation.metrics import metrics_tree, ranking, remarks, short, signed, summary_text
from detector.records import DetectionTable, Report, object_table

CLASSES = ClassList(("apple", "<b>pear & co|ltd</b>", "plum"), ("n1", "n2", "n3"))


def report(protocol: str = "ilsvrc", num_classes: int = 3) -> Report:
    """Class 1 is found, class 2 has a detection and no object, the last has an object and no detection."""
    box = np.array([[0.0, 0.0, 50.0, 50.0]])
    flags = np.zeros(2, np.bool_)
    objects = object_table(np.zeros(2, np.int64), box.repeat(2, axis=0), np.array([1, num_classes]), flags, flags)
    detections = DetectionTable(
        np.zeros(2, np.int64), box.repeat(2, axis=0), np.array([1, 2]), np.array([0.75, 0.5])
    )
    blacklist = np.empty((0, 2), np.int64)
    return evaluate(protocol, objects, detections, 1, num_classes, blacklist)


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


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "+0.1235"), (-0.5, "\N{MINUS SIGN}0.5000"), (-1e-9, "0.0000"), (None, "\N{EN DASH}")],
)
def test_differences_have_their_sign(value: float | None, text: str) -> None:
    assert signed(value) == text


def test_short_numbers_have_two_decimals() -> None:
    assert [short(value) for value in (0.126, -0.2, None, float("nan"))] == [
        "0.13", "\N{MINUS SIGN}0.20", "\N{EN DASH}", "\N{EN DASH}"
    ]  # fmt: skip
