from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from detector.data.playback import MOST_FAILURES, Playback, runs_text, stated_length


class Capture:
    """A video of grey pictures: each letter is one, "." whole, "x" not coming, "d" coming and not decoded."""

    def __init__(self, pictures: str, stated: float, rate: float = 10.0) -> None:
        self.pictures: Iterator[tuple[int, str]] = enumerate(pictures)
        self.now: tuple[int, str] = (0, "x")
        self.facts = {cv2.CAP_PROP_FRAME_COUNT: stated, cv2.CAP_PROP_FPS: rate}
        self.tries = 0

    def grab(self) -> bool:
        self.tries += 1
        self.now = next(self.pictures, (0, "x"))
        return self.now[1] != "x"

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        number, kind = self.now
        return kind == ".", np.full((2, 2, 3), number % 256, np.uint8) if kind == "." else None

    def get(self, fact: int) -> float:
        return self.facts[fact] if fact in self.facts else 1000 * self.now[0] / self.facts[cv2.CAP_PROP_FPS]


def play(capture: Capture, every: int = 1, limit: int = 0) -> Playback:
    return Playback(capture, stated_length(capture), every, limit)


@pytest.mark.parametrize(
    ("pictures", "stated", "every", "numbers", "missing"),
    [
        ("....", 4, 1, [0, 1, 2, 3], []),
        ("..x.", 4, 1, [0, 1, 3], [(2, 2)]),
        ("..d.", 4, 1, [0, 1, 3], [(2, 2)]),
        ("xx..", 4, 1, [2, 3], [(0, 1)]),
        ("..xx..x.", 8, 1, [0, 1, 4, 5, 7], [(2, 3), (6, 6)]),
        ("....", 7, 1, [0, 1, 2, 3], [(4, 6)]),  # the file ends early
        ("....d", 7, 1, [0, 1, 2, 3], [(4, 4), (5, 6)]),
        ("....", 2, 1, [0, 1, 2, 3], []),  # the header states too few
        ("..x.", 2, 1, [0, 1], []),  # so that a failure is the end
        ("", 3, 1, [], [(0, 2)]),
        ("....", 0, 1, [0, 1, 2, 3], []),
        ("..x.", 0, 1, [0, 1], []),  # of a stream
        ("..x.", -9.2e18, 1, [0, 1], []),
        ("..x.", float("nan"), 1, [0, 1], []),
        (".x.x.x.x", 8, 2, [0, 2, 4, 6], []),  # only what was wanted is missed
        (".xx.xx..", 8, 2, [0, 6], [(2, 4)]),
        ("......", 13, 5, [0, 5], [(10, 10)]),
        ("......", 10, 5, [0, 5], []),
    ],
)
def test_pictures_beyond_a_gap_keep_their_numbers(
    pictures: str, stated: float, every: int, numbers: list[int], missing: list[tuple[int, int]]
) -> None:
    playback = play(Capture(pictures, stated), every)
    seen = list(playback)
    assert [number for number, _ in seen] == numbers
    assert [int(picture[0, 0, 0]) for _, picture in seen] == numbers
    assert playback.missing(end_too=True) == missing


def test_a_limit_ends_it_and_what_comes_after_is_not_missed() -> None:
    capture = Capture("..x.....", 12)
    playback = play(capture, every=1, limit=4)
    assert [number for number, _ in playback] == [0, 1, 3]
    assert playback.missing(end_too=True) == [(2, 2)]
    assert capture.tries == 4
    assert [number for number, _ in play(Capture("." * 9, 9), every=3, limit=2)] == [0, 3]


@pytest.mark.parametrize("stated", [1e9, 1e15])
def test_a_header_that_promises_endless_pictures_is_not_believed_for_ever(stated: float) -> None:
    capture = Capture("...", stated)
    playback = play(capture)
    assert len(list(playback)) == 3
    assert capture.tries < MOST_FAILURES + 10
    assert playback.missing(end_too=True) == [(3, int(stated) - 1)]


@pytest.mark.parametrize("stated", [float("inf"), 1e17, -1.0, 0.0])
def test_nonsense_in_a_header_is_no_length(stated: float) -> None:
    assert stated_length(Capture("", stated)) == 0


@pytest.mark.parametrize(
    ("pictures", "stated", "rate", "share", "early"),
    [
        (20, 20, 10.0, 0.1, False),
        (19, 20, 10.0, 0.1, False),
        (17, 20, 10.0, 0.1, True),  # by three tenths of two seconds
        (17, 20, 10.0, 1.0, False),
        (970, 1000, 10.0, 0.1, True),  # by three seconds
        (970, 1000, 10.0, 1.0, True),
        (985, 1000, 10.0, 0.1, False),
        (1, 20, 0.0, 0.1, False),
        (1, 20, float("nan"), 0.1, False),
        (1, 20, float("inf"), 0.1, False),
    ],
)
def test_an_end_well_before_the_stated_one_is_early(
    pictures: int, stated: int, rate: float, share: float, early: bool
) -> None:
    capture = Capture("." * pictures, stated, 10.0)
    playback = play(capture)
    assert len(list(playback)) == pictures
    capture.facts[cv2.CAP_PROP_FPS] = rate
    assert playback.ends_early(share) == early


def test_a_picture_that_opencv_stumbles_over_is_missing() -> None:
    class Stumbling(Capture):
        def retrieve(self) -> tuple[bool, np.ndarray | None]:
            if self.now[0] == 1:
                raise cv2.error("no conversion")
            return super().retrieve()

    playback = play(Stumbling("...", 3))
    assert [number for number, _ in playback] == [0, 2]
    assert playback.missing(end_too=True) == [(1, 1)]


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([(5, 5)], "picture 5"),
        ([(6, 11)], "pictures 6 to 11"),
        ([(1, 1), (4, 7), (12, 12)], "pictures 1, 4 to 7 and 12"),
        ([(n, n) for n in range(0, 20, 2)], "pictures 0, 2, 4, 6, 8 and 5 more such gaps"),
    ],
)
def test_missing_pictures_are_told_in_few_words(runs: list[tuple[int, int]], text: str) -> None:
    assert runs_text(runs) == text
