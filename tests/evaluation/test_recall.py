import math

import numpy as np
import pytest
from oracles_boxes import random_boxes
from oracles_recall import average_recall as slow_average_recall
from oracles_recall import best_overlaps
from oracles_recall import recall as slow_recall

from detector.errors import DataError
from detector.evaluation.recall import (
    average_recall,
    class_recall,
    counted_objects,
    measure_coverage,
    recall_at,
    size_masks,
)
from detector.records import Array, ObjectTable, object_table

NO_BLACKLIST = np.empty((0, 2), np.int64)
NO_BOXES = np.empty((0, 4), np.float32)


def objects(*rows: tuple[int, int, tuple[float, float, float, float]]) -> ObjectTable:
    """Rows of image, label, box."""
    image, labels = (np.array([row[column] for row in rows], np.int64) for column in (0, 1))
    flags = np.zeros(len(rows), np.bool_)
    return object_table(image, np.array([row[2] for row in rows], float).reshape(-1, 4), labels, flags, flags)


def boxes(*rows: tuple[float, float, float, float]) -> Array:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_coverage_of_two_images_by_hand() -> None:
    found = objects((0, 1, (0, 0, 10, 10)), (0, 2, (0, 0, 20, 10)), (2, 1, (0, 0, 10, 10)))
    first = boxes((0, 0, 10, 8), (50, 50, 60, 60), (0, 0, 20, 10))  # IoU 0.8 and 0.4; none; 0.5 and 1
    coverage = measure_coverage(found, [first, boxes((0, 0, 1, 1)), boxes((5, 0, 15, 10))], [2, 1, 500])
    assert coverage.images == 3
    assert coverage.budgets.tolist() == [1, 2, 3]
    np.testing.assert_allclose(coverage.overlaps, [[0.8, 0.8, 0.8], [0.4, 0.4, 1], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(coverage.mean_boxes, [1, 4 / 3, 5 / 3])
    np.testing.assert_allclose(recall_at(coverage.overlaps, 0.5), [1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_allclose(average_recall(coverage.overlaps), 2 * np.array([0.3, 0.3, 0.8]) / 3)
    assert coverage.labels.tolist() == [1, 2, 1]
    assert coverage.areas.tolist() == [100, 200, 100]


def test_an_overlap_equal_to_the_threshold_counts() -> None:
    overlaps = np.array([[0.5], [0.7], [1.0]])
    assert [recall_at(overlaps, iou)[0] for iou in (0.5, 0.7, 1.0)] == [
        1,
        pytest.approx(2 / 3),
        pytest.approx(1 / 3),
    ]


def test_one_box_may_serve_several_objects() -> None:
    twice = objects((0, 1, (0, 0, 10, 10)), (0, 1, (0, 0, 10, 10)))
    assert measure_coverage(twice, [boxes((0, 0, 10, 10))], []).overlaps.tolist() == [[1], [1]]


def test_images_without_proposals_leave_their_objects_uncovered() -> None:
    found = objects((0, 1, (0, 0, 10, 10)), (1, 1, (0, 0, 10, 10)))
    coverage = measure_coverage(found, [NO_BOXES, boxes((0, 0, 10, 10))], [1, 10])
    assert coverage.overlaps.tolist() == [[0], [1]]
    assert coverage.mean_boxes.tolist() == [0.5]
    nothing = measure_coverage(found, [NO_BOXES, NO_BOXES], [1, 10])
    assert nothing.budgets.tolist() == [0]
    assert nothing.overlaps.tolist() == [[0], [0]]
    assert average_recall(nothing.overlaps).tolist() == [0]


def test_without_objects_every_recall_is_undefined() -> None:
    coverage = measure_coverage(objects(), [boxes((0, 0, 1, 1), (2, 2, 3, 3)), NO_BOXES], [1])
    assert coverage.overlaps.shape == (0, 2)
    assert coverage.mean_boxes.tolist() == [0.5, 1]
    assert np.isnan(recall_at(coverage.overlaps, 0.5)).tolist() == [True, True]
    assert np.isnan(average_recall(coverage.overlaps)).all()
    assert np.isnan(class_recall(coverage, 2).recall).all()


def test_no_image_is_no_error() -> None:
    coverage = measure_coverage(objects(), [], [5])
    assert (coverage.images, coverage.budgets.tolist(), coverage.mean_boxes.tolist()) == (0, [0], [0])


def test_proposals_that_end_before_the_objects_are_refused() -> None:
    with pytest.raises(DataError, match=r"^proposals must be of all 4 images with objects, got 2$"):
        measure_coverage(objects((3, 1, (0, 0, 1, 1))), [NO_BOXES, NO_BOXES], [1])


def test_difficult_crowd_empty_and_blacklisted_objects_do_not_count() -> None:
    box = (0.0, 0.0, 9.0, 9.0)
    every = objects((0, 1, box), (0, 1, box), (0, 1, (5, 5, 5, 9)), (0, 1, (9, 9, 0, 0)), (0, 2, box), (1, 2, box))
    flagged = ObjectTable(
        every.image, every.boxes, every.labels, np.arange(6) == 0, np.arange(6) == 1, every.areas
    )
    counted = counted_objects(flagged, np.array([[1, 2]]))
    assert (counted.image.tolist(), counted.labels.tolist()) == ([0], [2])
    assert len(counted_objects(flagged, NO_BLACKLIST).labels) == 2


def test_sizes_are_coco_s_and_meet_without_overlap() -> None:
    masks = size_masks(np.array([1023.0, 1024, 9215, 9216]))
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "small": [True, False, False, False],
        "medium": [False, True, True, False],
        "large": [False, False, False, True],
    }


def test_class_numbers_by_hand() -> None:
    found = objects((0, 1, (0, 0, 10, 10)), (0, 3, (0, 0, 20, 10)), (1, 1, (0, 0, 10, 10)))
    coverage = measure_coverage(found, [boxes((0, 0, 10, 8)), boxes((0, 0, 10, 6))], [])
    numbers = class_recall(coverage, 3)
    assert numbers.objects.tolist() == [2, 0, 1]
    np.testing.assert_allclose(numbers.recall, [1, math.nan, 0])
    np.testing.assert_allclose(numbers.average_recall, [2 * (0.3 + 0.1) / 2, math.nan, 0])
    np.testing.assert_allclose(numbers.best_overlap, [0.7, math.nan, 0.4])


def test_random_proposals_are_judged_as_the_oracle_judges_them() -> None:
    random = np.random.default_rng(0)
    for _ in range(40):
        images = int(random.integers(1, 6))
        image = random.integers(0, images, random.integers(0, 12))  # in no order
        proposals = [random_boxes(random, int(count)) for count in random.integers(0, 15, images)]
        truth = random_boxes(random, len(image)).astype(np.float64)
        flags = np.zeros(len(image), np.bool_)
        table = object_table(image, truth, np.ones(len(image), np.int64), flags, flags)
        coverage = measure_coverage(table, iter(proposals), [1, 3, 8, 100])
        for column, budget in enumerate(coverage.budgets.tolist()):
            rows = list(zip(image.tolist(), truth.tolist(), strict=True))
            wanted = best_overlaps(rows, [part.tolist() for part in proposals], budget)
            np.testing.assert_allclose(coverage.overlaps[:, column], wanted, atol=1e-12)
            np.testing.assert_allclose(recall_at(coverage.overlaps, 0.5)[column], slow_recall(wanted, 0.5))
            np.testing.assert_allclose(average_recall(coverage.overlaps)[column], slow_average_recall(wanted))
            used = [min(len(part), budget) for part in proposals]
            np.testing.assert_allclose(coverage.mean_boxes[column], sum(used) / images)
