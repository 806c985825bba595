"""Progress of long work: tqdm's bar on a terminal, a line now and then in a file or pipe.

A bar in a log is one endless line, and none at all leaves whoever reads the log to guess.
"""

import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm

SECONDS = 30.0  # between two lines, and before the first: short work leaves none
MOVES = re.compile(r"[\r\n]|\x1b\[A")  # what tqdm moves the cursor by


def progress_bar(items: Iterable[Any] | None = None, desc: str | None = None, **options: Any) -> "tqdm[Any]":
    """A `tqdm` of these options, on stderr; where that is no terminal, lines of its own take the bar's place."""
    if sys.stderr.isatty():
        return tqdm(items, desc, **options)
    paced = {"delay": SECONDS, "mininterval": SECONDS, "maxinterval": SECONDS, "ncols": 80}
    return tqdm(items, desc, file=Lines(sys.stderr), **(options | paced))


class Lines:
    """A stream that makes a line of each state of a bar."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, text: str) -> None:
        """Write what there is to read of `text`, if there is any."""
        if line := MOVES.sub("", text).rstrip():
            self.file.write(f"{line}\n")

    def flush(self) -> None:
        """As of any stream."""
        self.file.flush()
