"""ILSVRC's list files: images, and the pairs of image and class that the evaluation leaves out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from detector.data.classes import ClassList
from detector.errors import DataError
from detector.records import Int64


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number (from 1) and the words of each line of a text file that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        words = line.split()
        if words:
            yield number, words


def read_text(path: Path) -> str:
    """The text of a list file; DataError names one that cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"list must be a readable text file, got {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"list must be a UTF-8 text file, got {path}") from None


def read_image_list(path: Path) -> tuple[list[str], Int64]:
    """The image ids of `<name> <index>` lines and their indices (n,) i64; lines without index get 1..n.

    DataError names the line where a name or index comes twice, an index is no number from 1, or only some
    lines have one.
    """
    ids: list[str] = []
    indices: list[int] = []
    lines_of: dict[str | int, int] = {}
    for line, words in read_lines(path):
        with_index = len(words) == 2 and (len(indices) == len(ids))
        if not with_index and (len(words) != 1 or indices):
            raise DataError(f"{path}:{line} must read <name> <index> as the others, got {' '.join(words)!r}")
        keys: list[str | int] = [words[0]]
        if with_index:
            indices.append(_index(words[1], path, line))
            keys.append(indices[-1])
        for key in keys:
            if key in lines_of:
                raise DataError(
                    f"{path}:{line} must differ from the lines before, got {key} as in line {lines_of[key]}"
                )
            lines_of[key] = line
        ids.append(words[0])
    return ids, np.array(indices or range(1, len(ids) + 1), np.int64)


def read_blacklist(path: Path, indices: Int64, classes: ClassList) -> Int64:
    """The rows (K, 2) i64 of (image position, label) of `<index> <wnid>` lines.

    Lines of images that are not among `indices` (n,) are left out: the official file covers all of val.
    """
    position_of = {int(index): position for position, index in enumerate(indices)}
    pairs: dict[tuple[int, int], None] = {}
    for line, words in read_lines(path):
        if len(words) != 2:
            raise DataError(f"{path}:{line} must read <image index> <wnid>, got {' '.join(words)!r}")
        index, label = _index(words[0], path, line), classes.label(words[1])
        if label is None:
            raise DataError(f"{path}:{line} must name a class of the list, got {words[1]!r}")
        if index in position_of:
            pairs[position_of[index], label] = None
    return np.array(list(pairs), np.int64).reshape(-1, 2)


def _index(word: str, path: Path, line: int) -> int:
    if not (word.isascii() and word.isdigit() and 1 <= int(word) < 2**63):
        raise DataError(f"{path}:{line} must have an image index from 1, got {word!r}")
    return int(word)
