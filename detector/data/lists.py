"""ILSVRC's list files: images, training images by class, and the pairs that the evaluation leaves out."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from detector.data.classes import ClassList
from detector.errors import DataError
from detector.records import Bool, Int64

TRAIN_LIST = re.compile(r"train_(?:(pos|part|neg)_)?(\d+)\.txt")


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


def read_train_lists(folder: Path, num_classes: int) -> tuple[list[str], Bool] | None:
    """The union of a folder's lists of training images by class: ids, sorted, and exhaustive (n,).

    A class X has train_X.txt with lines `<id> <1|0|-1>`, or train_pos_X.txt, train_part_X.txt and
    train_neg_X.txt with lines `<id>`: the image shows all its X boxed, some of them, or no X at all. Exhaustive
    are the images listed for each of `num_classes` classes and never as partial. None where there is no list.
    """
    by_class = _train_lists_by_class(folder)
    if not by_class:
        return None
    places: dict[str, int] = {}
    listed: list[Int64] = []
    partial: list[Int64] = []
    for paths in by_class.values():
        entries = [_read_train_list(path, kind, places) for path, kind in paths]
        listed.append(np.unique(np.concatenate([rows for rows, _ in entries])))
        partial.extend(rows for _, rows in entries)
    complete = np.bincount(np.concatenate(listed), minlength=len(places)) == num_classes
    complete[np.concatenate(partial)] = False
    ids = sorted(places)
    return ids, complete[[places[image_id] for image_id in ids]]


def _train_lists_by_class(folder: Path) -> dict[int, list[tuple[Path, str | None]]]:
    """The lists of each class with the word in their names: pos, part, neg, or None where each line has a flag."""
    by_class: dict[int, list[tuple[Path, str | None]]] = {}
    for path in sorted(folder.glob("train_*.txt")):
        if match := TRAIN_LIST.fullmatch(path.name):
            by_class.setdefault(int(match[2]), []).append((path, match[1]))
    return by_class


def _read_train_list(path: Path, kind: str | None, places: dict[str, int]) -> tuple[Int64, Int64]:
    """The images (n,) of a list and those (m,) listed as partial, as places in `places`, which grows."""
    words = read_text(path).split()
    if kind:
        rows = _places_of(words, places)
        return rows, rows if kind == "part" else rows[:0]
    ids, flags = words[0::2], words[1::2]
    partial = flags.count("0")
    if len(ids) != partial + flags.count("1") + flags.count("-1"):
        _refuse_train_list(path)
    rows = _places_of(ids, places)
    return rows, rows[[flag == "0" for flag in flags]] if partial else rows[:0]


def _places_of(ids: list[str], places: dict[str, int]) -> Int64:
    for image_id in ids:
        if image_id not in places:
            places[image_id] = len(places)
    return np.fromiter(map(places.__getitem__, ids), np.int64, len(ids))


def _refuse_train_list(path: Path) -> NoReturn:
    """Name the first wrong line; slower than the reading that found the list wrong."""
    for line, words in read_lines(path):
        if len(words) != 2 or words[1] not in ("1", "0", "-1"):
            raise DataError(f"{path}:{line} must read <image id> <1, 0 or -1>, got {' '.join(words)!r}")
    raise DataError(f"{path} must have lines of <image id> <1, 0 or -1>")


def _index(word: str, path: Path, line: int) -> int:
    if not (word.isascii() and word.isdigit() and 1 <= int(word) < 2**63):
        raise DataError(f"{path}:{line} must have an image index from 1, got {word!r}")
    return int(word)
