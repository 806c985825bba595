import math
import time
from dataclasses import replace

import numpy as np
import pytest
from oracles_diagnosis import Scene, evaluate_copies, random_scene, without_ties

from detector.errors import DataError
from detector.evaluation.bootstrap import bootstrap, draw_images, resampled_aps, standard_intervals
from detector.evaluation.outcomes import NO_BLACKLIST, match_detections
from detector.evaluation.weighted import mean_over_classes, rank_classes, weighted_ap
from detector.records import DetectionTable, object_table, take

PROTOCOLS: tuple[str, ...] = ("ilsvrc", "voc2007", "voc2010", "coco")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(12))
def test_weights_equal_an_evaluation_of_the_copied_images(protocol: str, seed: int) -> None:
    objects, detections, images, classes, blacklist = random_scene(
        seed, difficult=True, crowds=True, blacklist=True
    )
    matched = match_detections(protocol, objects, detections, images, classes, blacklist)
    drawn = np.random.default_rng(seed).integers(0, images, images)
    report = evaluate_copies(protocol, objects, without_ties(matched), drawn.tolist(), classes, blacklist)
    ap = weighted_ap(rank_classes(matched), np.bincount(drawn, minlength=images))
    with_objects = report.objects > 0
    np.testing.assert_allclose(ap[with_objects], report.ap[with_objects], atol=1e-9)
    assert np.isnan(ap[~with_objects]).all()
    np.testing.assert_allclose(mean_over_classes(ap), report.mean_ap_with_objects, atol=1e-9)


@pytest.mark.parametrize("protocol", ["ilsvrc", "coco"])
@pytest.mark.parametrize("seed", range(5))
def test_equal_scores_keep_the_order_of_the_images(protocol: str, seed: int) -> None:
    objects, detections, images, classes, _ = random_scene(seed)
    coarse = replace(detections, scores=np.round(detections.scores * 4))
    matched = match_detections(protocol, objects, coarse, images, classes, NO_BLACKLIST)
    drawn = np.flatnonzero(np.arange(images) % 3 != 1)
    report = evaluate_copies(protocol, objects, coarse, drawn.tolist(), classes, NO_BLACKLIST)
    ap = weighted_ap(rank_classes(matched), np.bincount(drawn, minlength=images))
    np.testing.assert_allclose(mean_over_classes(ap), report.mean_ap_with_objects, atol=1e-9)


def two_images() -> Scene:
    """A class found in the first image and overlooked in the second."""
    boxes, flags = np.array([[0.0, 0.0, 50.0, 50.0]] * 2), np.zeros(2, np.bool_)
    objects = object_table(np.array([0, 1]), boxes, np.array([1, 1]), flags, flags)
    detections = DetectionTable(np.array([0]), boxes[:1], np.array([1]), np.array([0.9]))
    return objects, detections, 2, 2, NO_BLACKLIST


def test_copies_of_a_found_and_of_an_overlooked_object() -> None:
    ranked = rank_classes(match_detections("ilsvrc", *two_images()))
    for weights, expected in (([1, 1], 0.5), ([2, 0], 1.0), ([0, 2], 0.0), ([3, 1], 0.75)):
        np.testing.assert_equal(weighted_ap(ranked, np.array(weights)), [expected, np.nan])


def test_interval_is_the_estimate_and_the_spread_of_the_resamples() -> None:
    result = bootstrap(match_detections("ilsvrc", *two_images()), np.random.default_rng(0), 4000)
    assert result.mean_ap == 0.5
    assert set(result.mean_aps.tolist()) == {0.0, 0.5, 1.0}  # a quarter, a half, a quarter of the time
    assert result.mean_aps.std() == pytest.approx(math.sqrt(1 / 8), rel=0.03)
    assert result.mean_ap_interval.tolist() == [0, 1]  # 0.5 - 1.96 * 0.35 and 0.5 + 1.96 * 0.35, within 0..1
    np.testing.assert_equal(result.ap, [0.5, np.nan])
    np.testing.assert_equal(result.ap_intervals, [[0, 1], [np.nan, np.nan]])


def test_standard_interval_passes_over_nan() -> None:
    samples = np.array([[1.0, np.nan, 3.0], [3.0, np.nan, np.nan], [np.nan, np.nan, np.nan]])
    bounds = standard_intervals(np.array([2.0, 5.0, 3.0]), samples)
    reach = 1.96 * math.sqrt(2)
    np.testing.assert_allclose(bounds, [[2 - reach, 2 + reach], [np.nan] * 2, [np.nan] * 2])


def test_the_same_seed_gives_the_same_resamples_and_two_runs_get_the_same_images() -> None:
    matched = match_detections("voc2010", *random_scene(1))
    first, second = resampled_aps([matched, matched], np.random.default_rng(3), 20)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, resampled_aps([matched], np.random.default_rng(3), 20)[0])
    assert len(np.unique(mean_over_classes(first))) > 5


def test_as_many_images_are_drawn_as_there_are() -> None:
    random = np.random.default_rng(0)
    assert [draw_images(count, random).sum() for count in (0, 1, 7)] == [0, 1, 7]


def test_no_detections_give_zero_and_no_objects_give_nan() -> None:
    objects, detections, images, classes, _ = random_scene(2)
    nothing, nobody = take(detections, detections.labels < 0), take(objects, objects.labels < 0)
    for protocol in PROTOCOLS:
        empty = match_detections(protocol, objects, nothing, images, classes, NO_BLACKLIST)
        assert bootstrap(empty, np.random.default_rng(0), 5).mean_ap_interval.tolist() == [0, 0]
        alone = match_detections(protocol, nobody, detections, images, classes, NO_BLACKLIST)
        assert np.isnan(bootstrap(alone, np.random.default_rng(0), 5).mean_ap_interval).all()
    void = match_detections("ilsvrc", nobody, nothing, 0, 0, NO_BLACKLIST)
    assert math.isnan(bootstrap(void, np.random.default_rng(0), 5).mean_ap)


def test_too_few_resamples_are_an_error() -> None:
    with pytest.raises(DataError, match=r"^resamples must be at least 2, got 1$"):
        bootstrap(match_detections("ilsvrc", *two_images()), np.random.default_rng(0), 1)


def test_a_resample_of_a_large_data_set_takes_a_fraction_of_a_second() -> None:
    random = np.random.default_rng(0)
    images, classes, count, found = 10_000, 200, 28_000, 300_000
    corner, flags = random.integers(0, 300, (count, 2)), np.zeros(count, np.bool_)
    boxes = np.concatenate([corner, corner + 50], axis=1).astype(np.float64)
    image, labels = np.sort(random.integers(0, images, count)), random.integers(1, classes + 1, count)
    rows = random.integers(0, count, found)
    objects = object_table(image, boxes, labels, flags, flags)
    detections = DetectionTable(
        image[rows], boxes[rows] + random.integers(-20, 21, (found, 1)), labels[rows], random.random(found)
    )
    matched = match_detections("ilsvrc", objects, detections, images, classes, NO_BLACKLIST)
    start = time.perf_counter()
    bootstrap(matched, random, 20)
    assert time.perf_counter() - start < 10
