"""Keeping what was read from the many files of a data set, so that the next start need not open them again.

An entry is a file of plain arrays, $DETECTOR_CACHE/KIND-HASH.npz, by default in googlenet-detector under
$XDG_CACHE_HOME or ~/.cache; an empty DETECTOR_CACHE keeps nothing. It is used while every file has the size and
the time of modification that it had when it was read. A folder that cannot be written to keeps nothing either.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from detector.data.many_files import map_chunks
from detector.errors import DataError
from detector.files import OWN_LEFTOVER, remove_leftovers, write_atomically
from detector.records import Array, Int64

Arrays = dict[str, Array]

FORMAT = 3  # to be raised when the same files come to be read in another way
MIN_FILES = 2000  # fewer are read again as fast
STAMP = "stamp"  # of the entry's arrays, the one that says what they were read from
ERRORS = "errors"  # of the arrays that were read, the one that says what could not be
NO_FILE = (-1, -1)
A_DAY = 86_400  # seconds


def cached(kind: str, settings: Sequence[object], paths: Sequence[str], read: Callable[[], Arrays]) -> Arrays:
    """What `read()` returns, or what it returned when the same files were read with the same `settings`.

    `paths` are the files it reads, in its order; one that is empty or missing counts as unchanged while it is.
    The arrays must not hold objects, and not be called STAMP; they are not kept with any ERRORS, as what a failing
    disk hid may be there the next time.
    """
    folder = cache_folder()
    if folder is None or len(paths) < MIN_FILES:
        return read()
    entry = folder / f"{kind}-{_hash(kind, *settings, *paths)}.npz"
    stamp = _stamp(entry.name, paths)
    arrays = _load(entry, stamp)
    if arrays is None:
        arrays = read()
        if not len(arrays.get(ERRORS, ())):
            _keep(entry, {**arrays, STAMP: stamp})
    return arrays


def cache_folder() -> Path | None:
    """Where entries are kept, None for nowhere."""
    named = os.environ.get("DETECTOR_CACHE")
    if named is not None:
        return Path(named) if named else None
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return base.expanduser() / "googlenet-detector"
    except RuntimeError:  # a user without a home
        return None


def _keep(entry: Path, content: dict[str, Any]) -> None:
    # what killed processes left goes after a day: others may be at work
    remove_leftovers(entry.parent, OWN_LEFTOVER, older_than=A_DAY)
    with suppress(DataError), write_atomically(entry) as temporary, temporary.open("wb") as file:
        np.savez(file, **content)


def _hash(*words: object) -> str:
    """Of the format and the words: with the paths in it, other data leave this entry alone."""
    return hashlib.sha256("\0".join(map(str, (FORMAT, *words))).encode(errors="surrogatepass")).hexdigest()[:32]


def _stamp(name: str, paths: Sequence[str]) -> Array:
    """A hash (32,) u8 of the entry's `name`, lest it be taken for another's, and of its files' sizes and times.

    These are read before the files' content, so that no change is missed.
    """
    stats: Int64 = np.concatenate(map_chunks(_stats, paths, "changed files"))
    return np.frombuffer(hashlib.sha256(name.encode() + stats.tobytes()).digest(), np.uint8)


def _stats(paths: Sequence[str]) -> Int64:
    return np.array([_stat(path) for path in paths], np.int64)


def _stat(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat
    except (OSError, ValueError):
        return NO_FILE
    return status.st_size, status.st_mtime_ns


def _load(entry: Path, stamp: Array) -> Arrays | None:
    """The arrays of `entry`, None where there is no such, or one of other files, or a damaged one."""
    try:
        with entry.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if not np.array_equal(arrays[STAMP], stamp):
                return None
            return {name: arrays[name] for name in arrays if name != STAMP}
    except Exception:  # whatever a damaged file makes its reader stumble over
        return None
