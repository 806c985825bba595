import math

import numpy as np
import pytest
from oracles_diagnosis import random_scene

from detector.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE
from detector.evaluation.outcomes import NO_BLACKLIST, MatchedDetections, match_detections
from detector.evaluation.thresholds import best_thresholds, kept
from detector.records import DetectionTable, object_table

BOX = (0.0, 0.0, 50.0, 50.0)
AWAY = (200.0, 0.0, 250.0, 50.0)


def of_one_class(objects: int, *detections: tuple[float, bool]) -> MatchedDetections:
    """Objects of class 1 of 2, one an image, and detections that hit that of the next image or nothing."""
    flags, ones = np.zeros(objects, np.bool_), np.ones(len(detections), np.int64)
    truth = object_table(
        np.arange(objects), np.array([BOX] * objects).reshape(-1, 4), np.ones(objects, np.int64), flags, flags
    )
    hits = np.array([hit for _, hit in detections], np.bool_)
    found = DetectionTable(
        np.where(hits, np.cumsum(hits) - 1, 0),
        np.array([BOX if hit else AWAY for hit in hits], np.float64).reshape(-1, 4),
        ones,
        np.array([score for score, _ in detections], np.float64),
    )
    return match_detections("ilsvrc", truth, found, max(objects, 1), 2, NO_BLACKLIST)


def numbers(matched: MatchedDetections) -> list[float]:
    best = best_thresholds(matched)
    return [float(column[0]) for column in (best.scores, best.f1, best.precision, best.recall)]


def test_best_threshold_of_a_hand_worked_class() -> None:
    matched = of_one_class(4, (0.9, True), (0.8, False), (0.7, True), (0.6, True), (0.5, False), (0.4, False))
    assert numbers(matched) == [0.6, 2 * 3 / (4 + 4), 3 / 4, 3 / 4]  # F1 at each: 2/5, 1/3, 4/7, 3/4, 2/3, 3/5
    assert kept(matched, best_thresholds(matched).scores).tolist() == [True] * 4 + [False] * 2


def test_a_threshold_keeps_all_detections_of_a_score() -> None:
    matched = of_one_class(2, (0.9, True), (0.5, True), (0.5, False), (0.5, False), (0.5, False))
    assert numbers(matched) == [0.9, 2 / 3, 1.0, 0.5]  # all of them: 4 / 7, though 1 after the second


def test_of_equal_f1_the_higher_score_is_taken() -> None:
    matched = of_one_class(2, (0.9, True), (0.8, False), (0.7, False), (0.6, True))
    assert numbers(matched) == [0.9, 2 / 3, 1.0, 0.5]  # 4 / 6 with all four


def test_class_without_hits_or_without_objects_keeps_nothing() -> None:
    for matched in (of_one_class(1), of_one_class(1, (0.9, False))):
        np.testing.assert_equal(numbers(matched), [math.nan, 0.0, math.nan, 0.0])
        assert not kept(matched, best_thresholds(matched).scores).any()
        assert np.isnan(best_thresholds(matched).f1[1])
    np.testing.assert_equal(numbers(of_one_class(0)), [math.nan] * 4)


@pytest.mark.parametrize("protocol", ["ilsvrc", "voc2007", "coco"])
@pytest.mark.parametrize("seed", range(10))
def test_no_other_score_gives_a_better_f1(protocol: str, seed: int) -> None:
    matched = match_detections(protocol, *random_scene(seed, difficult=True, crowds=True, blacklist=True))
    best = best_thresholds(matched)
    for c in np.flatnonzero(matched.positives):
        objects = matched.positives[c]
        own = matched.detections.labels == c + 1
        scores, outcomes = matched.detections.scores[own], matched.outcomes[0, own]
        values = [
            2 * (outcomes[scores >= at] == TRUE_POSITIVE).sum() / ((outcomes[scores >= at] != 0).sum() + objects)
            for at in scores
        ]
        assert best.f1[c] == pytest.approx(max(values, default=0.0))
        if not math.isnan(best.scores[c]):
            hits = (outcomes[scores >= best.scores[c]] == TRUE_POSITIVE).sum()
            misses = (outcomes[scores >= best.scores[c]] == FALSE_POSITIVE).sum()
            assert (best.precision[c], best.recall[c]) == (hits / (hits + misses), hits / objects)
