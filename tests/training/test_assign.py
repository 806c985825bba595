import numpy as np
from oracles_assign import negatives_one_by_one
from oracles_boxes import random_boxes

from detector.records import GroundTruth
from detector.training.assign import IGNORED, assign, near_objects, negatives_of_classes


def truth(*boxes: list[float], labels: list[int], difficult: int = -1) -> GroundTruth:
    flags = np.arange(len(boxes)) == difficult
    return GroundTruth(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), flags, np.zeros_like(flags)
    )


REGIONS = np.array([[0, 0, 10, 10], [0, 0, 10, 20], [0, 0, 10, 21], [50, 50, 60, 60]], np.float32)


def test_half_an_overlap_is_enough_and_less_is_background() -> None:
    labels = assign(REGIONS, truth([0, 0, 10, 10], labels=[7]), 0.5, exhaustive=True)
    assert labels.tolist() == [7, 7, 0, 0]


def test_the_best_object_gives_the_label_and_the_first_wins_a_tie() -> None:
    objects = truth([0, 0, 10, 20], [0, 0, 10, 10], [0, 0, 10, 10], labels=[1, 2, 3])
    assert assign(REGIONS, objects, 0.5, exhaustive=True).tolist() == [2, 1, 1, 0]


def test_regions_of_a_difficult_object_are_ignored() -> None:
    objects = truth([0, 0, 10, 10], labels=[7], difficult=0)
    assert assign(REGIONS, objects, 0.5, exhaustive=True).tolist() == [IGNORED, IGNORED, 0, 0]


def test_an_image_that_is_not_fully_labelled_gives_no_background() -> None:
    labels = assign(REGIONS, truth([0, 0, 10, 10], labels=[7]), 0.5, exhaustive=False)
    assert labels.tolist() == [7, 7, IGNORED, IGNORED]


def test_an_image_without_objects_is_all_background() -> None:
    assert assign(REGIONS, truth(labels=[]), 0.5, exhaustive=True).tolist() == [0, 0, 0, 0]
    assert assign(REGIONS[:0], truth([0, 0, 10, 10], labels=[7]), 0.5, exhaustive=True).shape == (0,)


def test_near_an_object_is_a_tenth_of_overlap() -> None:
    boxes = np.array([[0, 0, 10, 1], [0, 0, 10, 0.99], [0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    assert near_objects(boxes, truth([0, 0, 10, 10], labels=[7])).tolist() == [True, False, True, False]
    assert near_objects(boxes, truth([0, 0, 10, 10], labels=[7], difficult=0))[0]
    assert not near_objects(boxes, truth(labels=[])).any()
    assert near_objects(boxes[:0], truth([0, 0, 10, 10], labels=[7])).shape == (0,)


def test_negatives_of_a_class_are_far_from_all_its_objects() -> None:
    objects = truth([0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 10, 20], labels=[1, 1, 2])
    negative = negatives_of_classes(REGIONS, objects, np.ones(3, np.bool_), 0.3)
    overlaps_of_2 = [10 / 20, 1, 20 / 21, 0]
    assert negative[:, 0].tolist() == [False, False, False, False]
    assert negative[:, 1].tolist() == [overlap < 0.3 for overlap in overlaps_of_2]
    assert negative[:, 2].all()


def test_an_overlap_of_the_limit_makes_no_negative() -> None:
    objects = truth([0, 0, 10, 10], labels=[1])
    complete = np.ones(1, np.bool_)
    assert negatives_of_classes(REGIONS, objects, complete, 0.5)[:, 0].tolist() == [False, False, True, True]


def test_difficult_and_crowd_objects_keep_regions_from_being_negatives() -> None:
    difficult = truth([0, 0, 10, 10], labels=[1], difficult=0)
    crowd = GroundTruth(difficult.boxes, difficult.labels, np.array([False]), np.array([True]))
    for objects in (difficult, crowd):
        negative = negatives_of_classes(REGIONS, objects, np.ones(1, np.bool_), 0.3)
        assert negative[:, 0].tolist() == [False, False, False, True]


def test_a_class_that_may_be_unboxed_in_the_image_has_no_negatives() -> None:
    objects = truth([0, 0, 10, 10], labels=[1])
    negative = negatives_of_classes(REGIONS, objects, np.array([False, True]), 0.3)
    assert not negative[:, 0].any()
    assert negative[:, 1].all()


def test_without_objects_or_regions_completeness_alone_decides() -> None:
    complete = np.array([True, False])
    assert negatives_of_classes(REGIONS, truth(labels=[]), complete, 0.3).tolist() == [[True, False]] * 4
    objects = truth([0, 0, 10, 10], labels=[1])
    assert negatives_of_classes(REGIONS[:0], objects, complete, 0.3).shape == (0, 2)


def test_negatives_of_random_images_are_those_found_one_by_one() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        count, classes = int(random.integers(0, 8)), 4
        flags = random.random((2, count)) < 0.3
        labels = random.integers(1, classes + 1, count)
        objects = GroundTruth(random_boxes(random, count), labels, *flags)
        regions = random_boxes(random, 30)
        complete = random.random(classes) < 0.7
        found = negatives_of_classes(regions, objects, complete, 0.3)
        assert found.tolist() == negatives_one_by_one(regions, objects, complete, 0.3)
