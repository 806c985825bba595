import json
import math
from pathlib import Path

import numpy as np
import pytest
from oracles_classification import confusions_one_by_one, errors_one_by_one, guesses

from detector.data.classes import ClassList
from detector.errors import DataError
from detector.evaluation.classification import (
    ClassificationRow,
    classification_remarks,
    classification_row,
    classification_table,
    classification_tree,
    confused_pairs,
    per_class_accuracy,
    top_k_errors,
    wilson_interval,
)
from detector.records import Float32, Int64
from detector.reports.classification_report import write_classification_report

TABLE_3 = [(1, 1, 0.1007), (1, 10, 0.0915), (1, 144, 0.0789), (7, 1, 0.0809), (7, 10, 0.0762), (7, 144, 0.0667)]
PROBS = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.5, 0.4], [0.2, 0.3, 0.5]], np.float32)
LABELS = np.array([1, 1, 3, 3])
NO_PROBS = np.empty((0, 3), np.float32)
NO_LABELS = np.empty(0, np.int64)


def random_test(seed: int, images: int = 60, classes: int = 9) -> tuple[Float32, Int64]:
    """Probs of few different values, so that many are equal."""
    random = np.random.default_rng(seed)
    probs = (random.integers(0, 5, (images, classes)) / 20).astype(np.float32)
    return probs, random.integers(1, classes + 1, images)


def class_list(count: int) -> ClassList:
    return ClassList(tuple(f"class {label}" for label in range(1, count + 1)))


def test_top_k_errors_by_hand() -> None:
    assert top_k_errors(PROBS, LABELS, 1) == 0.5  # the second and the third image
    assert top_k_errors(PROBS, LABELS, 2) == 0
    assert top_k_errors(PROBS, np.array([3, 3, 1, 1]), 2) == 1


def test_of_equal_probs_the_lower_label_is_guessed_first() -> None:
    flat = np.full((3, 3), 1 / 3)
    labels = np.array([1, 2, 3])
    assert [top_k_errors(flat, labels, k) for k in (1, 2, 3)] == [2 / 3, 1 / 3, 0]
    np.testing.assert_array_equal(per_class_accuracy(flat, labels), [1, 0, 0])
    assert confused_pairs(flat, labels) == [(2, 1, 1), (3, 1, 1)]


def test_more_guesses_than_classes_are_never_wrong() -> None:
    assert top_k_errors(PROBS, np.array([3, 3, 1, 1]), 5) == 0


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k_errors_equal_the_oracle_on_random_images(k: int) -> None:
    for seed in range(10):
        probs, labels = random_test(seed)
        assert top_k_errors(probs, labels, k) == pytest.approx(errors_one_by_one(probs, labels, k))


def test_confused_pairs_are_all_mistakes_commonest_first_then_in_label_order() -> None:
    probs, labels = random_test(1, images=500, classes=6)
    pairs = confused_pairs(probs, labels)
    assert {(label, other): count for label, other, count in pairs} == confusions_one_by_one(probs, labels)
    assert pairs == sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))


def test_accuracy_of_a_class_is_over_its_own_images() -> None:
    np.testing.assert_array_equal(per_class_accuracy(PROBS, LABELS), [0.5, math.nan, 0.5])
    probs, labels = random_test(2)
    right = np.array([guesses(row)[0] for row in probs]) == labels
    wanted = [right[labels == label].mean() for label in range(1, 10)]
    np.testing.assert_allclose(per_class_accuracy(probs, labels), wanted)


def test_no_images_have_no_errors_to_speak_of() -> None:
    assert math.isnan(top_k_errors(NO_PROBS, NO_LABELS, 1))
    assert np.isnan(per_class_accuracy(NO_PROBS, NO_LABELS)).all()
    assert confused_pairs(NO_PROBS, NO_LABELS) == []
    rows = [classification_row(1, 1, NO_PROBS, NO_LABELS)]
    tree = classification_tree(rows, NO_PROBS, NO_LABELS, class_list(3))
    assert tree["rows"][0]["top1_error"] is tree["rows"][0]["top1_interval"] is None
    assert classification_remarks(tree)[0] == "There is no image to classify."
    assert "nan" not in classification_table(rows)


@pytest.mark.parametrize(
    ("fraction", "trials", "low", "high"),
    [(0, 10, 0, 0.2775), (0.5, 10, 0.2366, 0.7634), (1, 10, 0.7225, 1), (0.1, 100, 0.0552, 0.1744), (0, 0, 0, 1)],
)
def test_wilson_intervals_are_those_of_the_tables(fraction: float, trials: int, low: float, high: float) -> None:
    assert wilson_interval(fraction, trials) == pytest.approx((low, high), abs=1e-4)


def test_the_bounds_of_wilson_s_interval_are_where_the_score_test_rejects() -> None:
    for fraction, trials in ((0.1, 30), (0.37, 1000), (0.9, 50)):
        for bound in wilson_interval(fraction, trials):
            deviation = math.sqrt(bound * (1 - bound) / trials)
            assert abs(fraction - bound) / deviation == pytest.approx(1.959964, abs=1e-6)


def test_a_row_holds_both_errors_and_its_cost() -> None:
    probs, labels = random_test(3)
    row = classification_row(7, 144, probs, labels)
    assert row.cost == 1008
    assert row.images == 60
    assert row.top1_error == pytest.approx(errors_one_by_one(probs, labels, 1))
    assert row.top5_error == pytest.approx(errors_one_by_one(probs, labels, 5))


def test_five_classes_have_no_top_5_error_and_six_have_one() -> None:
    five = classification_row(1, 1, *random_test(4, classes=5))
    assert math.isnan(five.top5_error)
    assert not math.isnan(classification_row(1, 1, *random_test(4, classes=6)).top5_error)
    assert classification_table([five]).splitlines()[1].split()[-2:] == ["\N{EN DASH}", "base"]


def test_the_paper_s_table_is_printed_as_in_the_paper() -> None:
    rows = [ClassificationRow(models, crops, 50_000, 0.3, error) for models, crops, error in TABLE_3]
    lines = classification_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    words = [line.split() for line in lines[1:]]
    assert [(row[0], row[1], row[2], row[7], row[-1]) for row in words] == [
        ("1", "1", "1", "10.07%", "base"),
        ("1", "10", "10", "9.15%", "-0.92%"),
        ("1", "144", "144", "7.89%", "-2.18%"),
        ("7", "1", "7", "8.09%", "-1.98%"),
        ("7", "10", "70", "7.62%", "-2.45%"),
        ("7", "144", "1008", "6.67%", "-3.40%"),
    ]
    assert words[0][8:11] == ["9.81", "to", "10.34"]


def test_a_table_without_rows_is_its_head() -> None:
    assert classification_table([]).split()[:3] == ["Number", "of", "models"]


def test_the_tree_has_rows_classes_and_mistakes() -> None:
    rows = [ClassificationRow(1, 1, 4, 0.75, 0.5), ClassificationRow(1, 10, 4, 0.5, 0.25)]
    tree = classification_tree(rows, PROBS, LABELS, ClassList(("apple", "pear", "plum"), ("n1", "n2", "n3")))
    assert tree["rows"][1] == {
        "models": 1,
        "crops": 10,
        "cost": 10,
        "images": 4,
        "top1_error": 0.5,
        "top1_interval": list(wilson_interval(0.5, 4)),
        "top5_error": 0.25,
        "top5_interval": list(wilson_interval(0.25, 4)),
        "top5_compared_to_base": -0.25,
    }
    assert tree["mean_class_accuracy"] == 0.5
    assert tree["classes"][:2] == [
        {"id": 1, "wnid": "n1", "name": "apple", "top1_accuracy": 0.5, "images": 2, "taken_for": "pear"},
        {"id": 2, "wnid": "n2", "name": "pear", "top1_accuracy": None, "images": 0, "taken_for": None},
    ]
    assert tree["confused"] == [
        {"name": "apple", "taken_for": "pear", "images": 1, "of": 2},
        {"name": "plum", "taken_for": "pear", "images": 1, "of": 2},
    ]
    assert classification_remarks(tree) == [
        "There is no top-5 error, because five guesses hold all of the 3 classes.",
        "Classes without an image here: 1 of 3.",
    ]


def test_a_class_is_said_to_be_taken_for_its_commonest_mistake() -> None:
    probs = np.eye(3)[[1, 2, 2, 0]]
    labels = np.array([1, 1, 1, 1])
    tree = classification_tree([classification_row(1, 1, probs, labels)], probs, labels, class_list(3))
    assert tree["classes"][0]["taken_for"] == "class 3"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:3], r"^probs must have a row a label, got shapes \(4, 3\) and \(3,\)$"),
        (LABELS - 1, r"^labels must be in 1\.\.3, got 0$"),
        (LABELS + 1, r"^labels must be in 1\.\.3, got 4$"),
    ],
)
def test_labels_that_do_not_fit_are_an_error(labels: Int64, message: str) -> None:
    with pytest.raises(DataError, match=message):
        top_k_errors(PROBS, labels, 1)


def test_probs_that_are_not_finite_are_an_error() -> None:
    probs = PROBS.copy()
    probs[2, 0] = math.nan
    with pytest.raises(DataError, match=r"^probs must be finite, got nan \(row 2\)$"):
        top_k_errors(probs, LABELS, 1)


@pytest.mark.parametrize("classes", [3, 30])
def test_the_report_is_three_files_that_agree(tmp_path: Path, classes: int) -> None:
    probs, labels = random_test(5, images=200, classes=classes)
    names = ClassList(("<b>pear & co|ltd</b>", *class_list(classes).names[1:]))
    rows = [classification_row(1, crops, probs, labels) for crops in (1, 10)]
    path = write_classification_report(
        tmp_path, rows, probs, labels, names, {"Model": "<i>mine</i>"}, html_name="index.html", title="T & Co"
    )
    assert {entry.name for entry in tmp_path.iterdir()} == {"metrics.json", "report.md", "index.html"}
    tree = classification_tree(rows, probs, labels, names)
    assert json.loads((tmp_path / "metrics.json").read_text()) == tree
    page, text = path.read_text(encoding="utf-8"), (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<title>T &amp; Co</title>" in page
    assert "&lt;i&gt;mine" in page
    assert "<b>pear" not in page
    assert "http" not in page
    assert "&lt;b>pear & co\\|ltd&lt;/b>" in text
    for shown in (page, text):
        assert "1 model, 10 crops an image" in shown
        assert f"{100 * rows[-1].top1_error:.2f}%" in shown
        assert "nan" not in shown.lower()
    assert page.count("<tr>") == 1 + 2 + 1 + len(tree["confused"]) + 1 + classes
