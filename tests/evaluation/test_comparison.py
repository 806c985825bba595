import math
from dataclasses import replace

import numpy as np
import pytest
from oracles_diagnosis import evaluate_copies, random_scene, without_ties

from detector.errors import DataError
from detector.evaluation.bootstrap import draw_images
from detector.evaluation.comparison import changed_images, compare
from detector.evaluation.outcomes import NO_BLACKLIST, MatchedDetections, match_detections
from detector.records import DetectionTable, object_table, take

BOX, AWAY = (0.0, 0.0, 50.0, 50.0), (500.0, 0.0, 550.0, 50.0)


def of_ten_images(*found: int, false: tuple[int, ...] = ()) -> MatchedDetections:
    """A run that finds the one object of the images `found`, and better-scored nothing in those `false`."""
    flags = np.zeros(10, np.bool_)
    objects = object_table(np.arange(10), np.array([BOX] * 10), np.ones(10, np.int64), flags, flags)
    image = np.array([*found, *false], np.int64)
    boxes = np.array([BOX] * len(found) + [AWAY] * len(false), np.float64).reshape(-1, 4)
    scores = np.array([0.5] * len(found) + [0.9] * len(false))
    detections = DetectionTable(image, boxes, np.ones(len(image), np.int64), scores)
    return match_detections("voc2010", objects, detections, 10, 1, NO_BLACKLIST)


def test_a_run_that_finds_more_everywhere_is_better_in_nearly_all_resamples() -> None:
    result = compare(of_ten_images(*range(9)), of_ten_images(0, 1), np.random.default_rng(0), 500)
    np.testing.assert_allclose(result.mean_ap, [0.9, 0.2])
    assert result.difference == pytest.approx(0.7)
    # of ten images a share p with a deviation of sqrt(p (1 - p) / 10): here 7 of 10 are found by one run alone
    reach = 1.96 * math.sqrt(0.7 * 0.3 / 10)
    np.testing.assert_allclose(result.difference_interval, [0.7 - reach, 0.7 + reach], atol=0.03)
    assert result.first_better > 0.99
    np.testing.assert_allclose(result.ap_difference, [0.7])
    np.testing.assert_allclose(result.ap_difference_intervals, result.difference_interval[None])


def test_a_run_compared_with_itself_is_even() -> None:
    run = match_detections("ilsvrc", *random_scene(4))
    result = compare(run, run, np.random.default_rng(0), 20)
    assert (result.difference, result.first_better) == (0, 0.5)
    assert result.difference_interval.tolist() == [0, 0]
    assert changed_images(result, 5).tolist() == []


def test_changed_images_are_those_with_other_hits_and_misses() -> None:
    first, second = of_ten_images(0, 1, 2, 3, 4, false=(7, 7)), of_ten_images(2, 3, 4, 5, 6)
    result = compare(first, second, np.random.default_rng(0), 2)
    assert result.hits.tolist() == [[1, 1, 1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1, 0, 0, 0]]
    assert result.misses.tolist() == [[0] * 7 + [2, 0, 0], [0] * 10]
    assert changed_images(result, 10).tolist() == [7, 0, 1, 5, 6]
    assert changed_images(result, 2).tolist() == [7, 0]


def test_detections_under_the_best_threshold_change_no_image() -> None:
    run = of_ten_images(0, 1, 2)
    low = DetectionTable(np.array([9]), np.array([AWAY]), np.array([1]), np.array([0.1]))
    more = match_detections(
        "voc2010",
        run.objects,
        replace(
            low,
            **{
                name: np.concatenate([getattr(run.detections, name), getattr(low, name)])
                for name in ("image", "boxes", "labels", "scores")
            },
        ),
        10,
        1,
        NO_BLACKLIST,
    )
    assert changed_images(compare(run, more, np.random.default_rng(0), 2), 5).tolist() == []


@pytest.mark.parametrize("protocol", ["ilsvrc", "voc2007"])
def test_difference_equals_that_of_evaluations_of_the_same_copied_images(protocol: str) -> None:
    objects, detections, images, classes, _ = random_scene(9)
    tables = detections, take(detections, np.arange(len(detections.scores)) % 3 > 0)
    runs = [match_detections(protocol, objects, table, images, classes, NO_BLACKLIST) for table in tables]
    result = compare(runs[0], runs[1], np.random.default_rng(5), 8)
    random, differences = np.random.default_rng(5), []
    for _ in range(8):
        drawn = np.repeat(np.arange(images), draw_images(images, random)).tolist()
        first, second = (
            evaluate_copies(protocol, objects, without_ties(run), drawn, classes, NO_BLACKLIST) for run in runs
        )
        differences.append(first.mean_ap_with_objects - second.mean_ap_with_objects)
    reach = 1.96 * np.std(differences, ddof=1)
    np.testing.assert_allclose(np.diff(result.difference_interval), 2 * reach, atol=1e-9)
    share = np.mean([1.0 if d > 1e-12 else 0.5 if abs(d) <= 1e-12 else 0.0 for d in differences])
    assert result.first_better == pytest.approx(share)


def test_no_objects_leave_the_comparison_undefined() -> None:
    objects, detections, images, classes, _ = random_scene(2)
    nobody = take(objects, objects.labels < 0)
    run = match_detections("voc2007", nobody, detections, images, classes, NO_BLACKLIST)
    result = compare(run, run, np.random.default_rng(0), 3)
    assert math.isnan(result.difference)
    assert math.isnan(result.first_better)


def test_runs_on_other_data_are_an_error() -> None:
    run, random = of_ten_images(0), np.random.default_rng(0)
    with pytest.raises(DataError, match=r"^second.protocol must be voc2010 as the first's, got voc2007$"):
        compare(run, replace(run, protocol="voc2007"), random)
    with pytest.raises(DataError, match=r"^second must be of 10 images and 1 classes as the first, got 11 and 1$"):
        compare(run, replace(run, num_images=11), random)
    moved = replace(run, objects=replace(run.objects, boxes=run.objects.boxes + 1))
    with pytest.raises(DataError, match=r"^second.objects.boxes must be the first's, got others$"):
        compare(run, moved, random)
