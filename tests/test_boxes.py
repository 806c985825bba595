import numpy as np
import pytest
from oracles_boxes import greedy_nms, iou_of_two, random_boxes

from detector.boxes import (
    MAX_GROWTH,
    box_area,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    expand_boxes,
    nms,
)
from detector.records import Array


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


def test_offsets_of_a_region_half_as_wide_as_its_object() -> None:
    regions = np.array([[10, 20, 30, 60]], np.float32)
    objects = np.array([[15, 10, 55, 50]], np.float32)
    wanted = [15 / 20, -10 / 40, np.log(2), 0]
    np.testing.assert_allclose(encode_boxes(regions, objects), [wanted], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decoding_undoes_encoding(dtype: type) -> None:
    random = np.random.default_rng(0)
    regions: Array = random_boxes(random, 50).astype(dtype)
    objects: Array = random_boxes(random, 50).astype(dtype)
    offsets = encode_boxes(regions, objects)
    decoded = decode_boxes(regions, offsets)
    assert offsets.dtype == decoded.dtype == dtype
    np.testing.assert_allclose(decoded, objects, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(encode_boxes(regions, decoded), offsets, rtol=1e-4, atol=1e-5)


def test_offsets_of_zero_leave_regions_where_they_are() -> None:
    regions = random_boxes(np.random.default_rng(0), 20)
    assert not encode_boxes(regions, regions).any()
    np.testing.assert_array_equal(decode_boxes(regions, np.zeros((20, 4), np.float32)), regions)


def test_every_class_may_have_its_own_offsets() -> None:
    random = np.random.default_rng(0)
    regions = random_boxes(random, 6)
    offsets = random.normal(size=(6, 3, 4)).astype(np.float32)
    decoded = decode_boxes(regions, offsets)
    assert decoded.shape == (6, 3, 4)
    for c in range(3):
        np.testing.assert_array_equal(decoded[:, c], decode_boxes(regions, offsets[:, c]))


def test_a_side_grows_no_more_than_it_may() -> None:
    regions = np.array([[0, 0, 2, 4]], np.float32)
    decoded = decode_boxes(regions, np.array([[0, 0, 1e9, -1e9]], np.float32))
    np.testing.assert_allclose(decoded, [[1 - MAX_GROWTH, 2, 1 + MAX_GROWTH, 2]], rtol=1e-6)


def test_no_regions_have_no_offsets_and_no_boxes() -> None:
    none = np.empty((0, 4), np.float32)
    assert encode_boxes(none, none).shape == (0, 4)
    assert decode_boxes(none, np.empty((0, 7, 4), np.float32)).shape == (0, 7, 4)


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
