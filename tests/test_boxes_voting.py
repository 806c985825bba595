import numpy as np
import pytest
from oracles_boxes import random_boxes
from oracles_voting import soft_nms, vote

from detector.boxes import nms, soft_nms_gaussian, soft_nms_linear, vote_boxes
from detector.errors import DataError

NO_BOXES, NO_SCORES = np.empty((0, 4), np.float32), np.empty(0, np.float32)
PAIR = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [40, 40, 50, 50]], np.float32)  # the first two: IoU 1 / 3
PAIR_SCORES = np.array([0.5, 0.9, 0.6], np.float32)


def test_linear_soft_nms_multiplies_the_worse_score_by_what_does_not_overlap() -> None:
    kept, scores = soft_nms_linear(PAIR, PAIR_SCORES, 0.3, 0.01)
    assert kept.tolist() == [1, 2, 0]
    assert scores == pytest.approx([0.9, 0.6, 0.5 * 2 / 3])


def test_linear_soft_nms_leaves_small_overlaps_alone() -> None:
    assert soft_nms_linear(PAIR, PAIR_SCORES, 0.4, 0.01)[1] == pytest.approx([0.9, 0.6, 0.5])


def test_gaussian_soft_nms_lowers_every_overlapping_score() -> None:
    kept, scores = soft_nms_gaussian(PAIR, PAIR_SCORES, 0.5, 0.01)
    assert kept.tolist() == [1, 2, 0]
    assert scores == pytest.approx([0.9, 0.6, 0.5 * np.exp(-(1 / 9) / 0.5)])


def test_soft_nms_drops_what_is_or_falls_below_the_least_score() -> None:
    assert soft_nms_linear(PAIR, PAIR_SCORES, 0.3, 0.4)[0].tolist() == [1, 2]
    assert soft_nms_linear(PAIR, PAIR_SCORES, 0.3, 0.95)[0].tolist() == []


def test_soft_nms_takes_the_first_of_equal_scores() -> None:
    boxes = np.array([[20, 20, 30, 30], [0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    assert soft_nms_linear(boxes, np.full(3, 0.5, np.float32), 0.3, 0.01)[0].tolist() == [0, 1]


def test_soft_nms_reorders_boxes_whose_scores_fall() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [40, 40, 50, 50]], np.float32)
    kept, scores = soft_nms_linear(boxes, np.array([0.9, 0.8, 0.3], np.float32), 0.3, 0.01)
    assert kept.tolist() == [0, 2, 1]
    assert scores == pytest.approx([0.9, 0.3, 0.16])


def test_soft_nms_and_voting_of_no_boxes() -> None:
    assert soft_nms_linear(NO_BOXES, NO_SCORES, 0.3, 0.01)[0].tolist() == []
    assert soft_nms_gaussian(NO_BOXES, NO_SCORES, 0.5, 0.01)[1].tolist() == []
    assert vote_boxes(NO_BOXES, PAIR, PAIR_SCORES).shape == (0, 4)
    assert vote_boxes(PAIR, NO_BOXES, NO_SCORES).tolist() == PAIR.tolist()


def test_soft_nms_of_scores_that_may_be_negative_is_refused() -> None:
    with pytest.raises(DataError, match=r"^min_score of soft-NMS must be above 0, got -1.1$"):
        soft_nms_linear(PAIR, PAIR_SCORES, 0.3, -1.1)


@pytest.mark.parametrize("seed", range(6))
def test_soft_nms_equals_the_oracle_on_random_boxes_with_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = random_boxes(random, 60)
    scores = (random.integers(0, 10, 60) / 8).astype(np.float32)
    for found, wanted in (
        (soft_nms_linear(boxes, scores, 0.3, 0.05), soft_nms(boxes, scores, 0.05, iou=0.3)),
        (soft_nms_gaussian(boxes, scores, 0.5, 0.05), soft_nms(boxes, scores, 0.05, sigma=0.5)),
    ):
        assert found[0].tolist() == wanted[0]
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-6)


def test_a_vanishing_sigma_is_a_hard_nms_at_overlap_zero() -> None:
    random = np.random.default_rng(0)
    boxes, scores = random_boxes(random, 50), random.random(50).astype(np.float32) + 0.1
    kept, _ = soft_nms_gaussian(boxes, scores, 1e-9, 1e-6)
    assert kept.tolist() == nms(boxes, scores, 0.0).tolist()


def test_a_box_becomes_the_mean_of_its_neighbours_weighted_by_score() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 4]], np.float32)
    voted = vote_boxes(boxes[:1], boxes, np.array([0.6, 0.2, 0.9], np.float32))  # the third: IoU 0.4
    np.testing.assert_allclose(voted, [[0, 0, 10, 9.5]], rtol=1e-6)


def test_an_overlap_equal_to_the_threshold_votes() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)
    assert vote_boxes(boxes[:1], boxes, np.ones(2, np.float32)).tolist() == [[0, 0, 10, 7.5]]


def test_negative_scores_have_no_vote() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8]], np.float32)
    assert vote_boxes(boxes, boxes, np.array([-0.5, -1], np.float32)).tolist() == boxes.tolist()
    assert vote_boxes(boxes, boxes, np.array([1, -1], np.float32)).tolist() == boxes[[0, 0]].tolist()


@pytest.mark.parametrize("seed", range(6))
def test_voting_equals_the_oracle_on_random_boxes(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes, scores = random_boxes(random, 60), random.normal(size=60).astype(np.float32)
    kept = boxes[nms(boxes, scores, 0.3)]
    for iou in (0.2, 0.5):
        np.testing.assert_allclose(vote_boxes(kept, boxes, scores, iou), vote(kept, boxes, scores, iou), rtol=1e-5)
