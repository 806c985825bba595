"""Iterative localisation, by a scorer that moves every region by one pixel and scores it by where it is."""

from collections.abc import Iterator

import numpy as np

from detector.config import DetectSettings
from detector.inference.held_image import Regions, hold
from detector.inference.iterate import IteratedScorer
from detector.inference.select import select
from detector.records import ClassScores, Detections, Float32, Image


class Mover:
    """Moves regions to the right by one pixel; their one class's score is x1 / 100. Notes what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[int, Float32]] = []

    def score(self, images: Regions) -> Iterator[ClassScores]:
        held = list(images)  # as an engine that waits for a full batch
        for image, boxes in held:
            self.given.append((int(hold(image).pixels[0, 0, 0]), boxes))
            moved = boxes + np.array([1, 0, 1, 0], np.float32)
            yield ClassScores(moved[:, None], boxes[:, :1] / np.float32(100))


def keep_all(scores: ClassScores) -> Detections:
    return select(scores, 0.0, DetectSettings(nms_iou=1.0))


def images(*counts: int) -> list[tuple[Image, Float32]]:
    made = []
    for number, count in enumerate(counts):
        x = 10.0 * np.arange(count)
        boxes = np.stack([x, x * 0, x + 5, x * 0 + 5], 1).astype(np.float32)
        made.append((np.full((20, 200, 3), number, np.uint8), boxes))
    return made


def test_no_rounds_are_the_scorer_itself() -> None:
    plain, none = list(Mover().score(images(3, 0))), list(IteratedScorer(Mover(), 0, keep_all).score(images(3, 0)))
    for one, two in zip(plain, none, strict=True):
        np.testing.assert_array_equal(one.boxes, two.boxes)
        np.testing.assert_array_equal(one.scores, two.scores)


def test_each_round_scores_the_boxes_that_the_last_one_made() -> None:
    found = list(IteratedScorer(Mover(), 2, keep_all).score(images(2, 0, 1)))
    assert [len(each.scores) for each in found] == [6, 0, 3]
    np.testing.assert_allclose(found[0].boxes[:, 0, 0], [1, 11, 2, 12, 3, 13])  # moved once, twice, three times
    np.testing.assert_allclose(found[0].scores[:, 0], np.array([0, 10, 1, 11, 2, 12]) / 100)
    np.testing.assert_allclose(found[2].boxes[:, 0, 0], [1, 2, 3])


def test_later_rounds_see_the_right_image_and_only_the_chosen_boxes() -> None:
    mover = Mover()

    def best(scores: ClassScores) -> Detections:
        return select(scores, 0.05, DetectSettings())

    found = list(IteratedScorer(mover, 1, best).score(images(3, 2)))
    assert [number for number, _ in mover.given] == [0, 1, 0, 1]
    assert [len(boxes) for _, boxes in mover.given] == [3, 2, 2, 1]  # those at x1 = 0 score nothing
    assert [len(each.scores) for each in found] == [5, 3]


def test_equal_boxes_are_scored_once() -> None:
    mover = Mover()
    image, boxes = images(1)[0]
    list(IteratedScorer(mover, 1, keep_all).score([(image, np.concatenate([boxes, boxes]))]))
    assert [len(given) for _, given in mover.given] == [2, 1]
