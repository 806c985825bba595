"""Going over the pictures of a video, beyond damaged ones, and telling which could not be read."""

import math
from collections.abc import Iterator
from itertools import count
from typing import Any, Protocol

import cv2
import numpy as np

from detector.records import Image

MOST_FAILURES = 10_000  # pictures in a row that cannot be read, after which no more are looked for
LATE = 2.0  # seconds that the length of a video may be off
NAMED = 5  # runs of missing pictures that a message names

Run = tuple[int, int]  # first and last number


class Capture(Protocol):
    """What is asked of cv2.VideoCapture."""

    def grab(self) -> bool:
        """Whether the next picture came."""
        ...

    def retrieve(self) -> tuple[bool, Any]:
        """Whether it was decoded, and its pixels."""
        ...

    def get(self, fact: int, /) -> float:
        """A fact of the video or its position."""
        ...


class Playback:
    """Every `every`th picture of an open video by its number from 0; `limit` of them, 0: all.

    `stated` is how many pictures the header says there are, 0 where it does not: then the first that cannot be
    read is the end. A picture that a decoder passes over without a word is not noticed.
    """

    def __init__(self, capture: Capture, stated: int, every: int, limit: int) -> None:
        self.capture = capture
        self.stated = stated
        self.every = every
        self.stop = (limit - 1) * every + 1 if limit else 0  # the number before which to end, 0: none
        self.lost: list[int] = []
        self.end = 0  # the number after the last picture that came
        self.seconds = 0.0  # when that one is shown

    def __iter__(self) -> Iterator[tuple[int, Image]]:
        for number, came in self._steps():
            if came:
                self.end = number + 1
            if came and self.stated:
                self.seconds = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if number % self.every == 0:
                picture = self._picture() if came else None
                if picture is None:
                    self.lost.append(number)
                else:
                    yield number, picture

    def ends_early(self, share: float) -> bool:
        """Whether the last picture came before what the header states: by LATE, or that share of its length."""
        rate = self.capture.get(cv2.CAP_PROP_FPS)
        if not 0 < rate < math.inf:
            return False
        length = self.stated / rate
        return length - self.seconds - 1 / rate > min(LATE, share * length)

    def missing(self, end_too: bool) -> list[Run]:
        """The numbers that were wanted and could not be read.

        `end_too`: also those that the header promises after the last picture that came.
        """
        runs = _runs([number for number in self.lost if number < self.end], self.every)
        first = -(-self.end // self.every) * self.every
        stop = min(self.stated, self.stop or self.stated)
        if end_too and first < stop:
            runs.append((first, (stop - 1) // self.every * self.every))
        return runs

    def _steps(self) -> Iterator[tuple[int, bool]]:
        """Each number, and whether its picture came."""
        failures = 0
        for number in range(self.stop) if self.stop else count():
            came = self.capture.grab()
            failures = 0 if came else failures + 1
            if not came and (number >= self.stated or failures > MOST_FAILURES):
                return
            yield number, came

    def _picture(self) -> Image | None:
        """The pixels (H, W, 3) uint8 RGB of the picture that came; None where it cannot be decoded."""
        try:
            whole, picture = self.capture.retrieve()
        except cv2.error:
            return None
        return np.ascontiguousarray(picture[:, :, ::-1], np.uint8) if whole and picture is not None else None


def stated_length(capture: Capture) -> int:
    """How many pictures a video's header says there are; 0 where it says none or nonsense."""
    stated = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(stated) if 0 < stated < 2**53 else 0


def runs_text(runs: list[Run]) -> str:
    """Which pictures `runs` are: "picture 5", "pictures 1, 4 to 7 and 12", the first few of many."""
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in runs[:NAMED]]
    if len(runs) > NAMED:
        texts.append(f"{len(runs) - NAMED} more such gaps")
    listed = " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
    return f"picture {listed}" if listed.isdecimal() else f"pictures {listed}"


def _runs(numbers: list[int], step: int) -> list[Run]:
    """The runs of `numbers`, which rise, that follow each other by `step`."""
    runs: list[Run] = []
    for number in numbers:
        follows = runs and runs[-1][1] == number - step
        runs[-1:] = [(runs[-1][0], number)] if follows else [*runs[-1:], (number, number)]
    return runs
