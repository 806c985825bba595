import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles_evaluation import ilsvrc, voc

from detector.data.classes import read_classes
from detector.data.exchange.submission import read_submission
from detector.data.formats.ilsvrc import read_ground_truth, read_image_list
from detector.errors import DataError
from detector.evaluation.evaluator import evaluate
from detector.records import Bool, DetectionTable, Float64, Int64, ObjectTable, object_table

NO_BLACKLIST = np.empty((0, 2), np.int64)
BOX = (0.0, 0.0, 50.0, 50.0)


def table_of_objects(image: list[int], labels: list[int]) -> ObjectTable:
    boxes, flags = np.array([BOX] * len(image)).reshape(-1, 4), np.zeros(len(image), np.bool_)
    return object_table(np.array(image, np.int64), boxes, np.array(labels, np.int64), flags, flags)


def table_of_detections(image: list[int], labels: list[int], scores: list[float]) -> DetectionTable:
    boxes = np.array([BOX] * len(image)).reshape(-1, 4)
    return DetectionTable(
        np.array(image, np.int64), boxes, np.array(labels, np.int64), np.array(scores, np.float64)
    )


def random_case(seed: int) -> tuple[ObjectTable, DetectionTable, int, int, Int64]:
    """A small data set with near hits, duplicates, ties of scores, small objects, empty classes, a blacklist."""
    random = np.random.default_rng(seed)
    images, classes = int(random.integers(1, 6)), int(random.integers(1, 5))
    count = int(random.integers(0, 14))
    boxes = _boxes(random, count)
    difficult = random.random(count) < 0.25
    objects = object_table(
        random.integers(0, images, count),
        boxes,
        random.integers(1, classes + 1, count),
        difficult,
        np.zeros(count, np.bool_),
    )
    found = int(random.integers(0, 50))
    detections = DetectionTable(
        random.integers(0, images, found),
        _boxes(random, found),
        random.integers(1, classes + 1, found),
        random.integers(0, 6, found) / 8.0,
    )
    if count:
        _aim(random, objects, detections)
    pairs = np.stack([random.integers(0, images, 2), random.integers(1, classes + 1, 2)], axis=1)
    return objects, detections, images, classes, pairs if random.random() < 0.5 else NO_BLACKLIST


def _boxes(random: np.random.Generator, count: int) -> Float64:
    corner = random.integers(0, 40, (count, 2))
    sides = random.integers(1, 40, (count, 2))
    return np.concatenate([corner, corner + sides], axis=1) / random.choice([1.0, 2.0])


def _aim(random: np.random.Generator, objects: ObjectTable, detections: DetectionTable) -> None:
    """Put most detections near an object."""
    for m in np.flatnonzero(random.random(len(detections.labels)) < 0.8):
        g = int(random.integers(len(objects.labels)))
        detections.image[m], detections.labels[m] = objects.image[g], objects.labels[g]
        detections.boxes[m] = objects.boxes[g] + random.integers(-2, 3, 4)


@pytest.mark.parametrize("seed", range(300))
def test_fast_evaluation_equals_the_plain_loops(seed: int) -> None:
    objects, detections, images, classes, blacklist = random_case(seed)
    report = evaluate("ilsvrc", objects, detections, images, classes, blacklist)
    ap, rows = ilsvrc(objects, detections, images, {(int(i), int(c)) for i, c in blacklist})
    np.testing.assert_allclose(report.ap[: len(ap)], ap, atol=1e-12)
    assert np.isnan(report.ap[len(ap) :]).all()
    assert report.detections[: len(ap)].tolist() == rows
    for protocol, eleven in (("voc2007", True), ("voc2010", False)):
        np.testing.assert_allclose(
            evaluate(protocol, objects, detections, images, classes, blacklist).ap,
            voc(objects, detections, classes, eleven),
            atol=1e-12,
        )


def test_class_with_detections_and_no_object_makes_the_ilsvrc_mean_nan_and_not_the_mean_with_objects() -> None:
    report = evaluate(
        "ilsvrc", table_of_objects([0], [3]), table_of_detections([0, 0], [3, 1], [0.9, 0.8]), 1, 3, NO_BLACKLIST
    )
    np.testing.assert_equal(report.ap, [np.nan, 0.0, 1.0])
    assert math.isnan(report.mean_ap)
    assert math.isnan(report.median_ap)
    assert report.mean_ap_with_objects == 1


def test_class_without_objects_and_detections_counts_as_zero_for_ilsvrc_and_not_at_all_for_voc() -> None:
    objects, detections = table_of_objects([0], [2]), table_of_detections([0], [2], [0.5])
    assert evaluate("ilsvrc", objects, detections, 1, 2, NO_BLACKLIST).mean_ap == 0.5
    assert evaluate("voc2010", objects, detections, 1, 2, NO_BLACKLIST).mean_ap == 1


def test_ilsvrc_ends_the_classes_with_the_highest_label_even_if_it_is_blacklisted() -> None:
    objects = table_of_objects([0, 1], [1, 2])
    detections = table_of_detections([0, 0, 0], [1, 3, 4], [0.9, 0.8, 0.7])
    report = evaluate("ilsvrc", objects, detections, 2, 4, np.array([[1, 2]], np.int64))
    np.testing.assert_equal(report.ap, [1.0, 0.0, np.nan, np.nan])
    assert (report.mean_ap, report.median_ap, report.mean_ap_with_objects) == (0.5, 0.5, 1.0)
    assert report.objects.tolist() == [1, 0, 0, 0]
    assert report.detections.tolist() == [1, 0, 0, 0]


def test_blacklisted_detections_are_rows_without_precision() -> None:
    objects = table_of_objects([0, 1], [1, 1])
    detections = table_of_detections([0, 0, 1], [1, 1, 1], [0.9, 0.8, 0.7])
    report = evaluate("ilsvrc", objects, detections, 2, 1, np.array([[0, 1]], np.int64))
    np.testing.assert_equal(report.precision[0], [np.nan, np.nan, 1.0])
    assert report.recall[0].tolist() == [0, 0, 1]
    assert (report.mean_ap, report.objects[0], report.detections[0]) == (1, 1, 3)


def test_equal_scores_rank_by_image_for_ilsvrc_and_by_file_order_for_voc() -> None:
    objects = table_of_objects([0], [1])
    detections = table_of_detections([1, 0], [1, 1], [0.5, 0.5])
    assert evaluate("ilsvrc", objects, detections, 2, 1, NO_BLACKLIST).mean_ap == 1
    assert evaluate("voc2010", objects, detections, 2, 1, NO_BLACKLIST).mean_ap == 0.5


def test_no_detections_give_zero_and_no_objects_give_nan() -> None:
    nothing = table_of_detections([], [], [])
    protocols = ("ilsvrc", "voc2007", "voc2010", "coco")
    for protocol in protocols:
        found = evaluate(protocol, table_of_objects([0], [2]), nothing, 1, 2, NO_BLACKLIST)
        assert (found.mean_ap, found.median_ap) == (0, 0)
        empty = evaluate(protocol, table_of_objects([], []), nothing, 1, 2, NO_BLACKLIST)
        assert math.isnan(empty.mean_ap)


def test_row_outside_the_images_or_classes_is_an_error() -> None:
    objects, detections = table_of_objects([0], [1]), table_of_detections([2], [1], [0.5])
    with pytest.raises(DataError, match=r"^detections.image must be in 0\.\.1, got 2$"):
        evaluate("ilsvrc", objects, detections, 2, 1, NO_BLACKLIST)
    with pytest.raises(DataError, match=r"^objects.labels must be in 1\.\.2, got 5$"):
        evaluate("voc2007", table_of_objects([0], [5]), detections, 3, 2, NO_BLACKLIST)


@pytest.mark.parametrize("case", ["t01_basic", "t02_duplicates"])
def test_official_numbers(shared: Path, case: str) -> None:
    folder = shared / "data/eval_examples" / case
    expected = json.loads((folder / "expected.json").read_text())
    classes = read_classes(folder / "synsets.csv")
    ids, indices = read_image_list(folder / "val.txt")
    objects = read_ground_truth(folder / "Annotations", ids, classes)
    detections = read_submission(folder / "dets.txt", indices, len(classes))
    sizes = (len(ids), len(classes))
    report = evaluate("ilsvrc", objects, detections, *sizes, NO_BLACKLIST)
    _expect(report.ap, expected["ilsvrc"]["ap"])
    assert report.mean_ap == pytest.approx(expected["ilsvrc"]["mean_ap"], abs=1e-9)
    assert report.median_ap == pytest.approx(expected["ilsvrc"]["median_ap"], abs=1e-9)
    for c in range(len(classes)):
        np.testing.assert_allclose(report.recall[c], expected["ilsvrc"]["recall"][str(c + 1)], atol=1e-9)
        np.testing.assert_allclose(report.precision[c], expected["ilsvrc"]["precision"][str(c + 1)], atol=1e-9)
    _expect(evaluate("voc2007", objects, detections, *sizes, NO_BLACKLIST).ap, expected["voc"]["ap_11pt"])
    _expect(evaluate("voc2010", objects, detections, *sizes, NO_BLACKLIST).ap, expected["voc"]["ap_all_points"])


def _expect(ap: Float64, expected: dict[str, Any]) -> None:
    wanted = [math.nan if expected[str(c + 1)] is None else expected[str(c + 1)] for c in range(len(ap))]
    np.testing.assert_allclose(ap, wanted, atol=1e-9)


def test_the_validation_set_of_ilsvrc_takes_seconds() -> None:
    random = np.random.default_rng(0)
    images, objects, detections = 20_121, 55_502, 400_000
    flags: Bool = np.zeros(objects, np.bool_)
    truth = object_table(
        np.sort(random.integers(0, images, objects)),
        _boxes(random, objects),
        random.integers(1, 201, objects),
        flags,
        flags,
    )
    found = DetectionTable(
        random.integers(0, images, detections),
        _boxes(random, detections),
        random.integers(1, 201, detections),
        random.random(detections),
    )
    evaluate("ilsvrc", truth, dataclasses.replace(found), images, 200, NO_BLACKLIST)
    start = time.perf_counter()
    evaluate("ilsvrc", truth, found, images, 200, NO_BLACKLIST)
    assert time.perf_counter() - start < 5
