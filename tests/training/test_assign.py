import numpy as np

from detector.records import GroundTruth
from detector.training.assign import IGNORED, assign


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
