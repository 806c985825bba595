"""Files of equal content."""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Sequence

from detector.data.many_files import map_chunks

BLOCK = 1 << 20


def equal_files(paths: Sequence[str]) -> list[list[int]]:
    """The positions of files of equal content, of each content that comes more than once, by first position.

    Only files of equal size are read. What cannot be read equals nothing.
    """
    sizes = [size for chunk in map_chunks(_sizes, paths, "file sizes") for size in chunk]
    candidates = [position for group in _groups(sizes) for position in group]
    chosen = [paths[position] for position in candidates]
    digests = [digest for chunk in map_chunks(_digests, chosen, "file contents") for digest in chunk]
    found = [[candidates[row] for row in group] for group in _groups(digests)]
    return sorted(sorted(group) for group in found)


def _groups(keys: Sequence[object]) -> list[list[int]]:
    """The positions of each key that comes more than once; None counts for nothing."""
    positions: defaultdict[object, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if key is not None:
            positions[key].append(position)
    return [group for group in positions.values() if len(group) > 1]


def _sizes(paths: Sequence[str]) -> list[int | None]:
    return [_size(path) for path in paths]


def _size(path: str) -> int | None:
    """The bytes of a regular file: a pipe, which has none, would wait for a writer."""
    try:
        status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _digests(paths: Sequence[str]) -> list[bytes | None]:
    return [_digest(path) for path in paths]


def _digest(path: str) -> bytes | None:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a third of the time of Path.open
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.digest()
