"""Iterative localisation: the boxes that were found are scored again as regions (arXiv 1505.01749, section 5).

Differs from the paper: a box is scored again for all classes, not only for the one that it was found for.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from detector.inference.engine import ImageScorer
from detector.inference.held_image import HeldImage, Regions, hold
from detector.records import ClassScores, Detections, Float32


class Round(NamedTuple):
    """Regions (N, 4) of an image and what they score."""

    regions: Float32
    scores: ClassScores


class IteratedScorer:
    """Scores regions by `scorer`, then `rounds` times the boxes that `choose` made of the last round's scores.

    The answers hold all rounds' boxes, those of the first one first. Images stream: those whose rounds are not
    over are held, about a batch's worth a round.
    """

    def __init__(self, scorer: ImageScorer, rounds: int, choose: Callable[[ClassScores], Detections]) -> None:
        self.scorer = scorer
        self.rounds = rounds
        self.choose = choose

    def score(self, images: Regions) -> Iterator[ClassScores]:
        """As `ImageScorer` says."""
        return map(join_rounds, self.score_rounds(images))

    def score_rounds(self, images: Regions) -> Iterator[list[Round]]:
        """All rounds of each image, the first one first."""
        return (rounds for _, rounds in self._run(images, self.rounds))

    def _run(self, images: Regions, rounds: int) -> Iterator[tuple[HeldImage, list[Round]]]:
        """The images, each with the first round and `rounds` more."""
        if not rounds:
            return ((image, [found]) for image, found in _with_images(self.scorer, images))
        return self._add_round(self._run(images, rounds - 1))

    def _add_round(
        self, earlier: Iterator[tuple[HeldImage, list[Round]]]
    ) -> Iterator[tuple[HeldImage, list[Round]]]:
        """One more round, on what the last one found."""
        waiting: deque[list[Round]] = deque()

        def regions() -> Iterator[tuple[HeldImage, Float32]]:
            for image, rounds in earlier:
                waiting.append(rounds)
                yield image, np.unique(self.choose(rounds[-1].scores).boxes, axis=0)

        for image, found in _with_images(self.scorer, regions()):
            yield image, [*waiting.popleft(), found]


def join_rounds(rounds: list[Round]) -> ClassScores:
    """What all rounds score, those of the first one first."""
    return ClassScores(
        np.concatenate([each.scores.boxes for each in rounds]),
        np.concatenate([each.scores.scores for each in rounds]),
    )


def _with_images(scorer: ImageScorer, images: Regions) -> Iterator[tuple[HeldImage, Round]]:
    """The scores with their images and regions."""
    given: deque[tuple[HeldImage, Float32]] = deque()

    def noted() -> Iterator[tuple[HeldImage, Float32]]:
        for image, boxes in images:
            given.append((hold(image), boxes))
            yield given[-1]

    for found in scorer.score(noted()):
        image, boxes = given.popleft()
        yield image, Round(boxes, found)
