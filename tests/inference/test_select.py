from dataclasses import replace

import numpy as np
import pytest
from oracles_boxes import greedy_nms, random_boxes

from detector.config import DetectSettings
from detector.inference.score import unrefined
from detector.inference.select import keep_best_of_each_class, select
from detector.records import ClassScores, DetectionTable


def scores(boxes: list[list[float]], probs: list[list[float]]) -> ClassScores:
    return unrefined(np.array(boxes, np.float32).reshape(-1, 4), np.array(probs, np.float32).reshape(-1, 2))


SAME_TWICE = scores([[0, 0, 10, 10], [0, 0, 10, 11], [40, 40, 50, 50]], [[0.8, 0.1], [0.3, 0.5], [0, 0]])


def test_a_box_is_suppressed_by_a_better_one_of_its_own_class_only() -> None:
    found = select(SAME_TWICE, 0.2, DetectSettings())
    assert found.labels.tolist() == [1, 2]
    assert found.scores.tolist() == pytest.approx([0.8, 0.5])


def test_background_is_never_a_detection_and_low_scores_are_dropped() -> None:
    found = select(SAME_TWICE, 0.01, DetectSettings())
    assert set(found.labels.tolist()) == {1, 2}
    assert not len(select(SAME_TWICE, 0.9, DetectSettings()).labels)


def test_only_the_best_of_an_image_are_kept_when_asked() -> None:
    found = select(SAME_TWICE, 0.01, DetectSettings(max_per_image=1))
    assert (found.labels.tolist(), found.boxes.tolist()) == ([1], [[0, 0, 10, 10]])


def test_no_regions_give_no_detections() -> None:
    assert len(select(scores([], []), 0.001, DetectSettings()).labels) == 0


@pytest.mark.parametrize("seed", range(3))
def test_selection_equals_the_plain_loop_over_classes(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = random_boxes(random, 60)
    probs = random.dirichlet(np.ones(5), 60).round(1).astype(np.float32)
    found = select(unrefined(boxes, probs[:, 1:]), 0.1, DetectSettings(nms_iou=0.3))
    wanted = []
    for label in range(1, 5):
        rows = [row for row in range(60) if probs[row, label] >= np.float32(0.1)]
        wanted += [(-probs[rows[k], label], label) for k in greedy_nms(boxes[rows], probs[rows, label], 0.3)]
    assert list(zip(-found.scores, found.labels, strict=True)) == sorted(wanted)


def test_each_class_keeps_its_best_over_the_whole_set() -> None:
    table = DetectionTable(
        image=np.arange(6),
        boxes=np.zeros((6, 4)),
        labels=np.array([1, 2, 1, 1, 2, 1]),
        scores=np.array([0.1, 0.5, 0.9, 0.3, 0.4, 0.3]),
    )
    assert keep_best_of_each_class(table, 2).image.tolist() == [1, 2, 3, 4]
    assert keep_best_of_each_class(table, 0) is table


def test_each_class_has_boxes_of_its_own() -> None:
    boxes = np.array([[[0, 0, 10, 10], [5, 5, 20, 20]], [[1, 0, 11, 10], [50, 5, 60, 20]]], np.float32)
    found = select(ClassScores(boxes, np.array([[0.9, 0.2], [0.8, 0.4]], np.float32)), 0.1, DetectSettings())
    assert found.labels.tolist() == [1, 2, 2]
    assert found.boxes.tolist() == [[0, 0, 10, 10], [50, 5, 60, 20], [5, 5, 20, 20]]


def test_kept_boxes_become_the_mean_of_their_neighbours_where_asked() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [40, 40, 50, 50]], np.float32)
    scored = unrefined(boxes, np.array([[0.6], [0.2], [0.5]], np.float32))
    found = select(scored, 0.1, DetectSettings(voting_iou=0.5))
    wanted = np.array([[0.5, 0, 10.5, 10], [40, 40, 50, 50]], np.float32)
    np.testing.assert_allclose(found.boxes, wanted, atol=1e-5)
    assert found.scores.tolist() == pytest.approx([0.6, 0.5])


@pytest.mark.parametrize(("nms", "wanted"), [("soft_linear", 0.2 * (1 - 2 / 3)), ("soft_gaussian", None)])
def test_soft_nms_lowers_the_scores_of_overlapping_boxes(nms: str, wanted: float | None) -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [40, 40, 50, 50]], np.float32)
    scored = unrefined(boxes, np.array([[0.6], [0.2], [0.5]], np.float32))
    found = select(scored, 0.01, DetectSettings.model_validate({"nms": nms}))
    expected = 0.2 * np.exp(-((2 / 3) ** 2) / 0.5) if wanted is None else wanted
    assert found.scores.tolist() == pytest.approx([0.6, 0.5, expected], rel=1e-4)


def rescored(scored: ClassScores, to: list[list[float]]) -> ClassScores:
    """The scores with what they are rescored to once NMS is over."""
    return replace(scored, rescored=np.array(to, np.float32).reshape(scored.scores.shape))


def test_what_nms_keeps_by_the_old_scores_is_ordered_by_the_new_ones() -> None:
    new = [[0.4, 0.9], [0.99, 0.2], [0.5, 0.3]]
    found = select(rescored(SAME_TWICE, new), 0.1, DetectSettings())
    # class 1: the first box suppresses the second by 0.8 to 0.3; class 2: the second the first by 0.5 to 0.1
    assert found.labels.tolist() == [1, 1, 2, 2]
    assert found.scores.tolist() == pytest.approx([0.5, 0.4, 0.3, 0.2])
    assert found.boxes[:, 3].tolist() == [50, 10, 50, 11]


def test_a_box_that_is_rescored_low_still_suppresses_and_then_goes() -> None:
    new = [[0.01, 0.0], [0.9, 0.0], [0.3, 0.0]]
    found = select(rescored(SAME_TWICE, new), 0.1, DetectSettings())
    assert (found.labels.tolist(), found.boxes[:, 0].tolist()) == ([1], [40])


def test_the_best_of_an_image_are_the_best_after_rescoring() -> None:
    new = [[0.4, 0.9], [0.99, 0.2], [0.5, 0.3]]
    found = select(rescored(SAME_TWICE, new), 0.1, DetectSettings(max_per_image=1))
    assert (found.labels.tolist(), found.boxes.tolist()) == ([1], [[40, 40, 50, 50]])


def test_without_regions_or_anything_left_nothing_is_rescored() -> None:
    assert len(select(rescored(scores([], []), []), 0.1, DetectSettings()).labels) == 0
    assert len(select(rescored(SAME_TWICE, [[0, 0]] * 3), 0.1, DetectSettings()).labels) == 0


@pytest.mark.parametrize("seed", range(4))
def test_selection_before_rescoring_equals_nms_of_all_regions(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = random_boxes(random, 60)
    own, new = (random.normal(size=(60, 3)).round(1).astype(np.float32) for _ in range(2))
    found = select(ClassScores(np.repeat(boxes[:, None], 3, 1), own, new), 0.5, DetectSettings(nms_iou=0.3))
    wanted = []
    for column in range(3):
        kept = greedy_nms(boxes, own[:, column], 0.3)
        wanted += [(-new[k, column], column + 1) for k in kept if new[k, column] >= 0.5]
    assert list(zip(-found.scores, found.labels, strict=True)) == sorted(wanted)


def test_votes_are_cast_by_the_old_scores() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], np.float32)
    scored = rescored(unrefined(boxes, np.array([[0.6], [0.2]], np.float32)), [[0.3], [0.9]])
    found = select(scored, 0.1, DetectSettings(voting_iou=0.5))
    np.testing.assert_allclose(found.boxes, [[0.5, 0, 10.5, 10]], atol=1e-5)
    assert found.scores.tolist() == pytest.approx([0.3])


def test_soft_nms_lowers_new_scores_as_much_as_old_ones() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], np.float32)
    scored = rescored(unrefined(boxes, np.array([[0.6], [0.2]], np.float32)), [[0.3], [0.9]])
    found = select(scored, 0.01, DetectSettings(nms="soft_linear"))
    assert found.scores.tolist() == pytest.approx([0.3, 0.9 * (1 - 2 / 3)], rel=1e-4)
    assert found.boxes[:, 0].tolist() == [0, 2]
