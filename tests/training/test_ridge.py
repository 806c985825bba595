from typing import Any

import numpy as np
import pytest
import torch
from oracles_boxes import random_boxes
from oracles_ridge import error_without_each_image, pairs_one_by_one, released_regressor

from detector.boxes import decode_boxes, encode_boxes
from detector.errors import DataError
from detector.records import Array, GroundTruth
from detector.training import ridge as box_regression
from detector.training.ridge import LEAST_PAIRS, RIDGES, choose_ridge, fit_ridge, pairs


def truth_of(boxes: Any, difficult: list[int] | None = None, crowd: list[int] | None = None) -> GroundTruth:
    rows = np.arange(len(boxes))
    labels = np.ones(len(boxes), np.int64)
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    return GroundTruth(boxes, labels, np.isin(rows, difficult or []), np.isin(rows, crowd or []))


def problem(count: int, width: int, seed: int = 0) -> tuple[torch.Tensor, Array, Array]:
    """Features of mean norm 20, regions, and objects whose places follow from the features in part."""
    random = np.random.default_rng(seed)
    features = np.maximum(random.normal(size=(count, width)), 0)
    features *= 20 / np.linalg.norm(features, axis=1).mean()
    offsets = features @ random.normal(size=(width, 4)) / 200 + 0.02 * random.normal(size=(count, 4)) + 0.1
    regions = random_boxes(random, count)
    objects = decode_boxes(regions, offsets).astype(np.float32)
    return torch.from_numpy(features.astype(np.float32)), regions, objects


def test_one_feature_by_hand() -> None:
    regions = np.tile(np.array([[0, 0, 10, 10]], np.float32), (10, 1))
    shift = np.repeat([0, 10], 5)[:, None]  # pixels: tx is 0 or 1, on average 0.5
    objects = (regions + shift * [1, 0, 1, 0]).astype(np.float32)
    features = torch.from_numpy(np.repeat([-1, 1], 5)[:, None].astype(np.float32))
    weights, bias = fit_ridge(features, regions, objects, ridge=10)
    # (10 + 10) w = 5 * (-1) * (-0.5) + 5 * 1 * 0.5
    np.testing.assert_allclose(weights, [[0.25], [0.0], [0.0], [0.0]], atol=1e-7)
    np.testing.assert_allclose(bias, [0.5, 0, 0, 0], atol=1e-7)


@pytest.mark.parametrize("count", [30, 60, 61, 62, 200])
def test_the_answer_is_that_of_the_released_system(count: int) -> None:
    features, regions, objects = problem(count, 60)
    weights, bias = fit_ridge(features, regions, objects, ridge=1000)
    wanted = released_regressor(features.numpy(), encode_boxes(regions.astype(float), objects.astype(float)), 1000)
    np.testing.assert_allclose(weights, wanted[0], atol=1e-7)
    np.testing.assert_allclose(bias, wanted[1], atol=1e-6)


@pytest.mark.parametrize("count", [40, 150])
def test_the_answer_is_scikit_learns(count: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, regions, objects = problem(count, 80)
    targets = encode_boxes(regions.astype(float), objects.astype(float))
    rows = np.concatenate([features.numpy(), np.ones((count, 1))], axis=1)
    ridge = linear_model.Ridge(alpha=1000, fit_intercept=False).fit(rows, targets - targets.mean(0))
    weights, bias = fit_ridge(features, regions, objects, ridge=1000)
    np.testing.assert_allclose(weights, ridge.coef_[:, :-1], atol=1e-7)
    np.testing.assert_allclose(bias, ridge.coef_[:, -1] + targets.mean(0), atol=1e-6)


def test_both_ways_to_solve_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_regression, "BLOCK", 32)
    features, _, _ = problem(100, 70)
    targets = torch.from_numpy(np.random.default_rng(1).normal(size=(100, 4)))
    by_rows = box_regression._solve_by_rows(features, targets, 10)
    by_features = box_regression._solve_by_features(features, targets, 10)
    torch.testing.assert_close(by_rows, by_features, rtol=1e-9, atol=1e-12)


def test_regression_brings_regions_nearer_to_their_objects() -> None:
    features, regions, objects = problem(600, 20)
    weights, bias = fit_ridge(features[:400], regions[:400], objects[:400], ridge=10)
    offsets = (features[400:] @ weights.T + bias).numpy()
    before = encode_boxes(regions[400:], objects[400:])
    after = before - offsets
    assert (np.abs(after).mean(0) < 0.5 * np.abs(before).mean(0)).all()


def test_a_class_with_few_pairs_leaves_boxes_as_they_are() -> None:
    features, regions, objects = problem(LEAST_PAIRS, 20)
    few = slice(LEAST_PAIRS - 1)
    weights, bias = fit_ridge(features[few], regions[few], objects[few], ridge=1000)
    assert (weights.shape, weights.dtype) == ((4, 20), torch.float32)
    assert not weights.any() and not bias.any()
    weights, bias = fit_ridge(features, regions, objects, ridge=1000)
    assert weights.all() and bias.all()


def test_half_precision_features_are_read_exactly() -> None:
    features, regions, objects = problem(30, 20)
    half = features.half()
    for a, b in zip(
        fit_ridge(half, regions, objects, 100), fit_ridge(half.float(), regions, objects, 100), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


REGIONS = np.array([[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 7], [50, 50, 60, 60]], np.float32)


def test_pairs_overlap_more_than_the_least() -> None:
    regions, objects = pairs(REGIONS, truth_of([[90, 90, 99, 99], [0, 0, 10, 10]]), 0.6)
    assert regions.tolist() == [0, 2]  # the second's overlap is 0.6 itself
    assert objects.tolist() == [1, 1]


def test_the_first_of_equal_objects_is_the_best() -> None:
    _, objects = pairs(REGIONS[:1], truth_of([[0, 0, 10, 9], [0, 0, 10, 10], [0, 0, 10, 10]]), 0.6)
    assert objects.tolist() == [1]


def test_difficult_and_crowd_objects_do_not_count() -> None:
    truth = truth_of([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 8]], difficult=[0], crowd=[1])
    regions, objects = pairs(REGIONS, truth, 0.6)
    assert (regions.tolist(), objects.tolist()) == ([0, 1, 2], [2, 2, 2])


def test_without_objects_or_regions_there_are_no_pairs() -> None:
    for boxes, truth in ((REGIONS, truth_of([])), (REGIONS[:0], truth_of(REGIONS))):
        regions, objects = pairs(boxes, truth, 0.6)
        assert (regions.shape, objects.shape) == ((0,), (0,))


@pytest.mark.parametrize("seed", range(5))
def test_pairs_equal_the_oracle_on_random_boxes_with_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes, objects = random_boxes(random, 200, 12), random_boxes(random, 20, 12)
    truth = truth_of(objects, difficult=[2, 5], crowd=[7])
    found = pairs(boxes, truth, 0.4)
    assert list(zip(*(each.tolist() for each in found), strict=True)) == pairs_one_by_one(boxes, truth, 0.4)


@pytest.mark.parametrize("rows", [20, 2000])  # fewer than features, and more
def test_a_ridge_too_small_to_tell_features_apart_is_named(rows: int) -> None:
    features = torch.ones(rows, 64)
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (rows, 1))
    with pytest.raises(DataError, match=r"^boxes.ridge must be large enough for the regressors .*, got 1e-300$"):
        fit_ridge(features, boxes, boxes, 1e-300)


@pytest.mark.parametrize("noise", [0.02, 0.3, 3.0])
def test_the_ridge_chosen_is_that_of_least_error_on_images_left_out(noise: float) -> None:
    features, regions, objects = problem(90, 60)
    random = np.random.default_rng(5)
    objects = decode_boxes(regions, encode_boxes(regions, objects) + random.normal(0, noise, (90, 4)))
    images = np.sort(random.integers(0, 12, 90))
    offsets = encode_boxes(regions.astype(float), objects.astype(np.float32).astype(float))
    errors = [error_without_each_image(features.numpy(), offsets, images, ridge) for ridge in RIDGES]
    chosen = choose_ridge(features, regions, objects.astype(np.float32), images)
    assert chosen == RIDGES[int(np.argmin(errors))]


def test_noisier_offsets_want_a_greater_ridge() -> None:
    features, regions, objects = problem(90, 60)
    images = np.arange(90) // 5
    noisy = decode_boxes(regions, encode_boxes(regions, objects) + np.random.default_rng(1).normal(0, 3, (90, 4)))
    few, many = (choose_ridge(features, regions, each.astype(np.float32), images) for each in (objects, noisy))
    assert few < many


def test_rows_that_are_the_same_object_s_do_not_foretell_each_other() -> None:
    """Copies of each row, left out one by one, would be foretold by the others without any ridge."""
    features, regions, _ = problem(60, 100)
    objects = decode_boxes(regions, np.random.default_rng(2).normal(0, 1, (60, 4))).astype(np.float32)
    rows = np.repeat(np.arange(60), 5)
    chosen = choose_ridge(features[rows], regions[rows], objects[rows], rows)
    one_by_one = choose_ridge(features[rows], regions[rows], objects[rows], np.arange(300))
    assert one_by_one == RIDGES[-1] < chosen


def test_of_many_rows_whole_images_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_regression, "MOST_ROWS", 30)
    images = np.repeat(np.arange(10), 9)
    rows = box_regression._rows_of_some_images(images)
    assert len(rows) == 27
    assert np.unique(images[rows]).tolist() == [0, 4, 8]


def test_a_class_with_too_few_rows_gets_the_greatest_ridge() -> None:
    features, regions, objects = problem(LEAST_PAIRS - 1, 5)
    assert choose_ridge(features, regions, objects, np.arange(LEAST_PAIRS - 1)) == RIDGES[0]
