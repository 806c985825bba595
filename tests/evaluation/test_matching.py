import numpy as np
import pytest

from detector.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Matches
from detector.evaluation.protocols.ilsvrc_rule import ilsvrc_thresholds, match_ilsvrc
from detector.evaluation.protocols.voc_rule import match_voc
from detector.records import DetectionTable, Int64, ObjectTable, object_table

Row = tuple[int, int, tuple[float, float, float, float]]  # image, label, box
NO_BLACKLIST = np.empty((0, 2), np.int64)
FIRST = (10.0, 10.0, 110.0, 110.0)
SHIFTED = (15.0, 10.0, 115.0, 110.0)
SECOND = (30.0, 10.0, 130.0, 110.0)


def objects(*rows: Row, difficult: tuple[bool, ...] | None = None) -> ObjectTable:
    image, labels, boxes = _columns(rows)
    flags = np.array(difficult or [False] * len(rows), np.bool_)
    return object_table(image, boxes, labels, flags, np.zeros(len(rows), np.bool_))


def ranked(*rows: Row) -> DetectionTable:
    image, labels, boxes = _columns(rows)
    return DetectionTable(image, boxes, labels, -np.arange(len(rows), dtype=np.float64))


def _columns(rows: tuple[Row, ...]) -> tuple[Int64, Int64, np.ndarray]:
    return (
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
    )


def ilsvrc(found: DetectionTable, truth: ObjectTable) -> list[int]:
    return _list(match_ilsvrc(truth, found, NO_BLACKLIST))


def _list(matches: Matches) -> list[int]:
    return [int(value) for value in matches.outcomes]


def test_threshold_of_a_small_object_is_lower() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 40, 20], [0, 0, 100, 100], [5, 5, 6, 6]], np.float64)
    assert ilsvrc_thresholds(boxes).tolist() == [100 / 400, 0.5, 0.5, 1 / 121]


def test_duplicate_detection_is_a_false_positive_in_both_rules() -> None:
    truth, found = objects((0, 1, FIRST)), ranked((0, 1, FIRST), (0, 1, SHIFTED))
    assert ilsvrc(found, truth) == [TRUE_POSITIVE, FALSE_POSITIVE]
    assert _list(match_voc(truth, found)) == [TRUE_POSITIVE, FALSE_POSITIVE]


def test_ilsvrc_takes_an_unused_object_where_voc_counts_a_second_hit() -> None:
    truth = objects((0, 1, FIRST), (0, 1, SECOND))
    found = ranked((0, 1, FIRST), (0, 1, SHIFTED), (0, 1, SECOND))
    assert ilsvrc(found, truth) == [TRUE_POSITIVE, TRUE_POSITIVE, FALSE_POSITIVE]
    assert _list(match_voc(truth, found)) == [TRUE_POSITIVE, FALSE_POSITIVE, TRUE_POSITIVE]


def test_another_image_or_class_is_never_hit() -> None:
    truth, found = objects((0, 1, FIRST)), ranked((1, 1, FIRST), (0, 2, FIRST))
    assert ilsvrc(found, truth) == [FALSE_POSITIVE, FALSE_POSITIVE]
    assert _list(match_voc(truth, found)) == [FALSE_POSITIVE, FALSE_POSITIVE]


def test_small_object_is_hit_with_less_overlap_by_ilsvrc_alone() -> None:
    truth, found = objects((0, 1, (0, 0, 10, 10))), ranked((0, 1, (5, 0, 15, 10)))  # IoU 1/3, threshold 1/4
    assert ilsvrc(found, truth) == [TRUE_POSITIVE]
    assert _list(match_voc(truth, found)) == [FALSE_POSITIVE]


def test_overlap_equal_to_the_threshold_hits() -> None:
    truth, found = objects((0, 1, (0, 0, 100, 100))), ranked((0, 1, (0, 0, 100, 50)))
    assert ilsvrc(found, truth) == [TRUE_POSITIVE]
    assert _list(match_voc(truth, found)) == [TRUE_POSITIVE]


def test_equal_overlaps_go_to_the_first_object() -> None:
    left, middle, right = (0.3, 0, 100.3, 100), (10.3, 0, 110.3, 100), (20.3, 0, 120.3, 100)
    truth = objects((0, 1, left), (0, 1, right), difficult=(True, False))
    found = ranked((0, 1, middle), (0, 1, right))
    assert _list(match_voc(truth, found)) == [IGNORED, TRUE_POSITIVE]
    assert ilsvrc(found, truth) == [TRUE_POSITIVE, TRUE_POSITIVE]  # the first is used, the second is left


def test_difficult_object_is_ignored_by_voc_and_counts_for_ilsvrc() -> None:
    truth, found = objects((0, 1, FIRST), difficult=(True,)), ranked((0, 1, FIRST), (0, 1, SHIFTED))
    assert _list(match_voc(truth, found)) == [IGNORED, IGNORED]
    assert ilsvrc(found, truth) == [TRUE_POSITIVE, FALSE_POSITIVE]


def test_detections_of_a_blacklisted_image_and_class_are_ignored() -> None:
    truth = objects((0, 1, FIRST), (1, 1, FIRST))
    found = ranked((0, 1, FIRST), (0, 1, SECOND), (0, 2, FIRST), (1, 1, FIRST))
    matches = match_ilsvrc(truth, found, np.array([[0, 1]], np.int64))
    assert _list(matches) == [IGNORED, IGNORED, FALSE_POSITIVE, TRUE_POSITIVE]


@pytest.mark.parametrize("box", [(50, 50, 40, 40), (50, 50, 50, 50), (0, 0, -10, -10)])
def test_inverted_and_empty_boxes_are_never_hit(box: tuple[float, float, float, float]) -> None:
    truth, found = objects((0, 1, box)), ranked((0, 1, box), (0, 1, (0, 0, 100, 100)))
    assert ilsvrc(found, truth) == [FALSE_POSITIVE, FALSE_POSITIVE]
    assert _list(match_voc(truth, found)) == [FALSE_POSITIVE, FALSE_POSITIVE]


def test_nothing_matches_nothing() -> None:
    assert ilsvrc(ranked(), objects((0, 1, FIRST))) == []
    assert ilsvrc(ranked((0, 1, FIRST)), objects()) == [FALSE_POSITIVE]
    assert _list(match_voc(objects(), ranked())) == []


def test_matches_tell_which_object_was_hit() -> None:
    truth = objects((1, 1, FIRST), (0, 1, SECOND), (0, 1, FIRST))
    found = ranked((0, 1, FIRST), (0, 1, SHIFTED), (0, 1, (500, 0, 510, 10)))
    assert match_ilsvrc(truth, found, NO_BLACKLIST).objects.tolist() == [2, 1, -1]
    assert match_voc(truth, found).objects.tolist() == [2, 2, -1]  # the second is a false positive
    assert match_voc(objects(), found).objects.tolist() == [-1, -1, -1]
