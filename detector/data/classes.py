"""Class lists: names and WNIDs in label order."""

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from detector.errors import DataError
from detector.files import read_text, write_text
from detector.records import FIRST_LABEL
from detector.text import UNPRINTABLE, shown

HEADER = ("id", "wnid", "name")
LONGEST_NAME = 200  # characters
UNSEEN = "Cf"  # Unicode's category of marks without a width, such as U+200B
UNKNOWN_CATEGORY = -1  # in `category_ids`, for a class that the JSON does not have


@dataclass(frozen=True)
class ClassList:
    """Names (and WNIDs, empty where there are none) of labels 1..C, in that order.

    `category_ids` are the ids of a COCO file, for writing its results; lists that differ in them are equal.
    """

    names: tuple[str, ...]
    wnids: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = field(default=(), compare=False)
    _labels: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        if not self.names:
            raise DataError("class list must hold at least one class, got none")
        if self.wnids and len(self.wnids) != len(self.names):
            raise DataError(f"class list must have a WNID a name, got {len(self.wnids)} for {len(self.names)}")
        labels: dict[str, int] = {}
        for words in (self.names, self.wnids):
            for label, word in enumerate(words, FIRST_LABEL):
                class_name(word, "class name", f"class {label}")
                if labels.setdefault(word, label) != label:
                    raise DataError(f"class names must differ, got {shown(word)} twice")
        object.__setattr__(self, "_labels", labels)

    def __len__(self) -> int:
        return len(self.names)

    def label(self, word: str) -> int | None:
        """The label of a name or WNID, None where the list does not have it."""
        return self._labels.get(word)

    def unknown(self, word: str, where: str) -> str:
        """The message about a class, in the file `where`, that the list lacks; it offers the nearest name."""
        near = difflib.get_close_matches(word, list(self._labels), n=1)
        hint = f"; did you mean {shown(near[0])}?" if near else ""
        return f"class name must be in the class list, got {shown(word)} ({where}){hint}"

    def name(self, label: int) -> str:
        """The name of `label` in 1..C."""
        return self.names[label - FIRST_LABEL]


def class_name(value: object, what: str, where: str) -> str:
    """`value` without the blanks around it, which must be text in one printable line, as all names of classes are.

    Names go into tables, pages and files of one line each. DataError calls it `what` and names `where` it stands.
    """
    name = value.strip() if isinstance(value, str) else ""
    if not name or len(name) > LONGEST_NAME or UNPRINTABLE.search(name):
        wanted = f"1 to {LONGEST_NAME} printable characters in one line"
        raise DataError(f"{what} must be {wanted}, got {shown(value)} ({where})")
    return name


def names_alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The groups of names that look alike: they differ in case, blanks, _ and -, or unseen marks alone."""
    found: dict[str, list[str]] = {}
    for name in names:
        text = unicodedata.normalize("NFKC", name).casefold()
        seen = "".join(letter for letter in text if unicodedata.category(letter) != UNSEEN)
        found.setdefault(re.sub(r"[\s_-]+", " ", seen).strip(), []).append(name)
    return [tuple(group) for group in found.values() if len(group) > 1]


def read_classes(path: Path) -> ClassList:
    """The classes of a CSV with the header id,wnid,name and ids 1..C in order; DataError names file and line."""
    return _parse(read_text(path, "class list"), str(path))


def write_classes(path: Path, classes: ClassList) -> None:
    """Write `classes` as the CSV that `read_classes` reads."""
    rows = zip(classes.wnids or ("",) * len(classes), classes.names, strict=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([label, *row] for label, row in enumerate(rows, FIRST_LABEL))
    write_text(path, text.getvalue())


def ilsvrc_det_classes() -> ClassList:
    """The 200 classes of ILSVRC-DET in the order of the devkit's ids."""
    return _parse(packaged_text("ilsvrc_det_classes.csv"), "ilsvrc_det_classes.csv")


def packaged_text(name: str) -> str:
    """What the file `name` holds that is part of this package."""
    return files("detector.data").joinpath(name).read_text(encoding="utf-8")


def class_list(names: Iterable[str], wnids: Iterable[str], where: str) -> ClassList:
    """A ClassList; DataError names `where` the names stand."""
    try:
        return ClassList(tuple(names), tuple(wnids))
    except DataError as error:
        raise DataError(f"{error} ({where})") from None


def all_different(words: Iterable[tuple[int, str]], source: str) -> None:
    """DataError names the line of the first word that comes twice, among (line, word)."""
    lines: dict[str, int] = {}
    for line, word in words:
        if lines.setdefault(word, line) != line:
            raise DataError(
                f"{source}:{line} must differ from the lines before, got {shown(word)} as in line {lines[word]}"
            )


def _parse(text: str, source: str) -> ClassList:
    rows = _rows(text, source)
    if not rows or [cell.strip() for cell in rows[0][1]] != list(HEADER):
        got = shown(",".join(rows[0][1])) if rows else "nothing"
        raise DataError(f"{source}:1 must be the header id,wnid,name, got {got}")
    found: list[tuple[int, str, str]] = []
    for line, row in rows[1:]:
        number = str(len(found) + FIRST_LABEL)
        if len(row) != len(HEADER) or row[0].strip() != number:
            raise DataError(f"{source}:{line} must read {number},wnid,name, got {shown(','.join(row))}")
        found.append((line, row[1].strip(), class_name(row[2], "class name", f"{source}:{line}")))
    if not found:
        raise DataError(f"class list must name at least one class, got none ({source})")
    return ClassList(_names(found, source), _wnids(found, source))


def _rows(text: str, source: str) -> list[tuple[int, list[str]]]:
    """The rows of a CSV that hold anything, with the line (from 1) that each ends in."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{source}:{reader.line_num} must be a line of CSV, got {error}") from None


def _names(found: Sequence[tuple[int, str, str]], source: str) -> tuple[str, ...]:
    """The names of (line, wnid, name); DataError where one comes twice, or is the WNID of another."""
    all_different(((line, word) for line, *words in found for word in dict.fromkeys(words) if word), source)
    return tuple(name for _, _, name in found)


def _wnids(found: Sequence[tuple[int, str, str]], source: str) -> tuple[str, ...]:
    """The WNIDs of (line, wnid, name), of all lines or of none."""
    if not any(wnid for _, wnid, _ in found):
        return ()
    return tuple(class_name(wnid, "WNID", f"{source}:{line}") for line, wnid, _ in found)
