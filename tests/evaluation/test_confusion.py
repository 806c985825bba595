import numpy as np
import pytest
from oracles_diagnosis import confusions, random_scene

from detector.errors import DataError
from detector.evaluation.confusion import ConfusionMatrix, confusion_matrix, most_confused
from detector.evaluation.outcomes import NO_BLACKLIST
from detector.records import DetectionTable, Float64, Int64, ObjectTable, object_table

Row = tuple[int, tuple[float, float, float, float]]  # label, box
DOG, CAT = 1, 2
BOX = (0.0, 0.0, 100.0, 100.0)
NEARLY = (0.0, 0.0, 100.0, 90.0)
AWAY = (500.0, 500.0, 600.0, 600.0)
ALL = np.zeros(2)


def objects(*rows: Row, difficult: bool = False, crowd: bool = False) -> ObjectTable:
    boxes = np.array([box for _, box in rows], np.float64).reshape(-1, 4)
    flags = np.ones(len(rows), np.bool_)
    labels = np.array([label for label, _ in rows], np.int64)
    return object_table(np.zeros(len(rows), np.int64), boxes, labels, flags & difficult, flags & crowd)


def ranked(*rows: Row) -> DetectionTable:
    table = objects(*rows)
    return DetectionTable(table.image, table.boxes, table.labels, np.linspace(0.9, 0.1, len(rows)))


def count(
    truth: ObjectTable, found: DetectionTable, thresholds: Float64 = ALL, blacklist: Int64 = NO_BLACKLIST
) -> list[list[int]]:
    return confusion_matrix(truth, found, 1, 2, blacklist, thresholds).counts.tolist()


def test_hand_worked_image() -> None:
    truth = objects((DOG, BOX), (CAT, (200, 0, 300, 100)), (CAT, (400, 0, 500, 100)))
    found = ranked((DOG, BOX), (DOG, (200, 0, 300, 90)), (CAT, (200, 0, 300, 100)), (CAT, AWAY))
    assert count(truth, found) == [
        [0, 0, 2],  # a cat on the used box, a cat on nothing
        [0, 1, 0],
        [1, 1, 0],  # a cat missed, a cat called a dog
    ]


def test_the_better_score_takes_the_object_whatever_its_class() -> None:
    truth = objects((DOG, BOX))
    assert count(truth, ranked((CAT, NEARLY), (DOG, BOX))) == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_detections_under_their_class_threshold_do_not_count_and_nan_keeps_none() -> None:
    truth, found = objects((DOG, BOX)), ranked((DOG, BOX), (CAT, AWAY))  # scores 0.9, 0.1
    assert count(truth, found, np.array([0.9, 0.2])) == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert count(truth, found, np.array([np.nan, 0.1])) == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_difficult_objects_and_crowds_are_ignored() -> None:
    nothing = np.zeros((3, 3)).tolist()
    assert count(objects((DOG, BOX), difficult=True), ranked((CAT, BOX))) == nothing
    assert count(objects((DOG, BOX), difficult=True), ranked()) == nothing
    inside = ranked((DOG, (10, 10, 20, 20)), (DOG, BOX), (CAT, BOX))
    assert count(objects((DOG, BOX), crowd=True), inside) == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_blacklisted_image_and_class_are_ignored() -> None:
    truth, found = objects((DOG, BOX), (CAT, AWAY)), ranked((DOG, BOX), (CAT, AWAY))
    assert count(truth, found, blacklist=np.array([[0, DOG]], np.int64)) == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_nothing_is_confused_with_nothing() -> None:
    assert count(objects(), ranked()) == np.zeros((3, 3)).tolist()
    assert count(objects(), ranked((CAT, BOX))) == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert confusion_matrix(objects(), ranked(), 0, 0, NO_BLACKLIST, np.empty(0)).counts.tolist() == [[0]]


@pytest.mark.parametrize("seed", range(30))
def test_counts_equal_the_plain_loops(seed: int) -> None:
    scene = random_scene(seed, difficult=True, crowds=True, blacklist=True)
    truth, found, _, classes, blacklist = scene
    thresholds = np.random.default_rng(seed).choice([np.nan, 0.0, 0.3, 0.5], classes)
    matrix = confusion_matrix(*scene, thresholds)
    assert matrix.counts.tolist() == confusions(truth, found, classes, blacklist, thresholds)


def test_most_confused_pairs_come_first_and_hits_and_background_never() -> None:
    counts = np.array([[0, 9, 9, 9], [9, 9, 3, 0], [9, 5, 9, 3], [9, 0, 0, 9]], np.int64)
    assert most_confused(ConfusionMatrix(counts), 10).tolist() == [[2, 1, 5], [1, 2, 3], [2, 3, 3]]
    assert most_confused(ConfusionMatrix(counts), 1).tolist() == [[2, 1, 5]]
    assert most_confused(ConfusionMatrix(np.zeros((1, 1), np.int64)), 5).shape == (0, 3)


def test_thresholds_of_other_classes_are_an_error() -> None:
    with pytest.raises(DataError, match=r"^thresholds must have shape \(2,\), got \(3,\)$"):
        count(objects(), ranked(), np.zeros(3))
