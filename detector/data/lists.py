"""ILSVRC's list files: images, and the pairs of image and class that the evaluation leaves out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from detector.data.classes import ClassList
from detector.data.names import NameSet, read_names
from detector.errors import DataError
from detector.files import read_text
from detector.records import Int64
from detector.text import parse_int, shown

LARGEST_INDEX = 2**53  # what the floats of a submission tell apart


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number (from 1) and the words of each line of a text file that is not blank."""
    for number, line in enumerate(read_text(path, "list").split("\n"), 1):
        words = line.split()
        if words:
            yield number, words


def read_image_list(path: Path, names: NameSet | None = None, outside: bool = True) -> tuple[list[str], Int64]:
    """The image ids of `<name> <index>` lines and their indices (n,) i64; lines without index get 1..n.

    `names` are the images there are, by which names that hold blanks are told from name and index. DataError names
    the line where a name or index comes twice, an index is no number from 1, only some lines have one, or, unless
    `outside`, a name leads out of the data's folder.
    """
    ids: list[str] = []
    indices: list[int] = []
    lines_of: dict[str | int, int] = {}
    for line in read_names(path, names, outside):
        where = f"{path}:{line.number}"
        with_index = len(indices) == len(ids)
        if (ids and with_index != bool(line.rest)) or len(line.rest.split()) > 1:
            raise DataError(f"{where} must read <name> <index> as the others, got {shown(line.text)}")
        keys: list[str | int] = [line.image_id]
        if line.rest:
            indices.append(_index(line.rest, where))
            keys.append(indices[-1])
        for key in keys:
            if lines_of.setdefault(key, line.number) != line.number:
                raise DataError(
                    f"{where} must differ from the lines before, got {shown(key)} as in line {lines_of[key]}"
                )
        ids.append(line.image_id)
    return ids, np.array(indices or range(1, len(ids) + 1), np.int64)


def read_blacklist(path: Path, indices: Int64, classes: ClassList) -> Int64:
    """The rows (K, 2) i64 of (image position, label) of `<index> <wnid>` lines; a class's name does as well.

    Lines of images that are not among `indices` (n,) are left out: the official file covers all of val.
    """
    position_of = {int(index): position for position, index in enumerate(indices)}
    pairs: dict[tuple[int, int], None] = {}
    for line, words in read_lines(path):
        if len(words) < 2:
            raise DataError(f"{path}:{line} must read <image index> <wnid>, got {shown(' '.join(words))}")
        index, word = _index(words[0], f"{path}:{line}"), " ".join(words[1:])
        label = classes.label(word)
        if label is None:
            raise DataError(f"{path}:{line} must name a class of the list, got {shown(word)}")
        if index in position_of:
            pairs[position_of[index], label] = None
    return np.array(list(pairs), np.int64).reshape(-1, 2)


def _index(word: str, where: str) -> int:
    index = parse_int(word)
    if index is None or not 1 <= index < LARGEST_INDEX:
        raise DataError(f"{where} must have an image index from 1, got {shown(word)}")
    return index
