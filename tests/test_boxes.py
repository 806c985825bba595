import numpy as np
import pytest
from oracles_boxes import greedy_nms, iou_of_two, random_boxes

from detector.boxes import box_area, box_iou, clip_boxes, expand_boxes, nms


def test_iou_of_a_half_covered_box() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 10, 10]], np.float32)
    np.testing.assert_allclose(box_iou(a, b), [[1 / 3, 0, 1]], rtol=1e-6)


def test_boxes_without_area_overlap_nothing() -> None:
    empty = np.array([[3, 3, 3, 3], [5, 5, 2, 2]], np.float32)
    assert box_area(empty).tolist() == [0, 0]
    assert not box_iou(empty, empty).any()


def test_iou_equals_the_definition_on_random_boxes() -> None:
    random = np.random.default_rng(0)
    a, b = random_boxes(random, 40), random_boxes(random, 30)
    wanted = [[iou_of_two(x, y) for y in b] for x in a]
    np.testing.assert_allclose(box_iou(a, b), wanted, rtol=1e-5)


def test_iou_with_no_boxes_has_no_rows() -> None:
    assert box_iou(np.empty((0, 4), np.float32), np.zeros((3, 4), np.float32)).shape == (0, 3)


def test_clip_and_expand() -> None:
    boxes = np.array([[10, 20, 30, 60]], np.float32)
    assert expand_boxes(boxes, 2).tolist() == [[0, 0, 40, 80]]
    assert clip_boxes(np.array([[-5, -5, 50, 70]], np.float32), 40, 30).tolist() == [[0, 0, 30, 40]]


def test_nms_keeps_the_first_of_equal_scores() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    assert nms(boxes, np.full(3, 0.5, np.float32), 0.3).tolist() == [0, 2]


def test_nms_keeps_a_box_whose_overlap_equals_the_threshold() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10]], np.float32)  # IoU 50 / 150
    assert len(nms(boxes, np.array([1, 0.5], np.float32), 0.34)) == 2
    assert len(nms(boxes, np.array([1, 0.5], np.float32), 0.33)) == 1


def test_nms_of_no_boxes_is_empty() -> None:
    assert nms(np.empty((0, 4), np.float32), np.empty(0, np.float32), 0.5).tolist() == []


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("seed", range(5))
def test_nms_equals_the_oracle_on_random_boxes_with_ties(iou: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = random_boxes(random, 80)
    scores = (random.integers(0, 10, 80) / 10).astype(np.float32)
    assert nms(boxes, scores, iou).tolist() == greedy_nms(boxes, scores, iou)
