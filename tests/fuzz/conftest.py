"""Commands under damaged input: a status, one line, in time; never a traceback."""

import contextlib
import io
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

import pytest

from detector import commands

SECONDS = 60.0  # a command on tiny data that takes longer hangs
FACTOR = int(os.environ.get("DETECTOR_FUZZ", "1"))  # more tries, for a longer run by hand
SEED = int(os.environ.get("DETECTOR_FUZZ_SEED", "0"))
LONGEST = 1_100  # letters of a line that a person reads
BAR = re.compile(r"\d+/\d+|\d+%\||\d+(image|file|step|part|region|object|crop)s? \[|\[\d\d:\d\d")


class Hang(BaseException):
    """The command's time is over."""


@dataclass(frozen=True)
class Told:
    """What a command ended with: its status, and the lines of stderr that are no progress."""

    status: int
    lines: tuple[str, ...]
    output: str


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Hang in the main thread after so many seconds."""

    def over(signum: int, frame: FrameType | None) -> None:
        raise Hang(f"took over {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_command(*words: str) -> Told:
    """Run a command in this process and look at how it ended: the rules that hold for every input."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), time_limit(SECONDS):
        try:
            status = commands.main(list(words))
        except SystemExit as exit_:  # argparse's way
            status = int(exit_.code or 0)
    lines = tuple(
        line for line in re.split(r"[\r\n]+", errors.getvalue()) if line.strip() and not BAR.search(line)
    )
    assert status in (0, 1, 2), status
    assert "Traceback" not in errors.getvalue() + output.getvalue()
    for line in lines:
        assert len(line) <= LONGEST, line
        assert line.isprintable(), line
        assert "pydantic" not in line and " at 0x" not in line and "weights_only" not in line, line
    if status == 2:
        assert lines and lines[-1].startswith(f"{words[0]}: "), lines
        assert sum(line.startswith(f"{words[0]}: ") for line in lines) == 1, lines
    return Told(status, lines, output.getvalue())


Trial = Callable[[random.Random], object]


def tries(count: int) -> pytest.MarkDecorator:
    """Parametrises a test by `count` seeds, or as many times more as are asked for."""
    return pytest.mark.parametrize("seed", range(SEED, SEED + count * FACTOR))
