"""Which image a line of a list means: names may hold blanks and dots, and stand with or without their suffix.

A line that names a file as a whole is that name. Else a last word that is a number is an index or a flag, and what
stands before it the name; else the first word is. Where every line of a list names a file with its suffix they are
read so: `a.jpg` is then the file a.jpg, even if there is an a.jpg.jpg. In other lists a name without suffix goes
before one with it: `a.jpg` is then a.jpg.jpg, if that is there. Where nothing is called as a line has it, a
backslash in it is read as a slash.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from detector.data.folders import IMAGE_SUFFIXES, XML_SUFFIXES, FileIndex, require_file_name
from detector.errors import DataError
from detector.files import read_text
from detector.text import parse_int

SUFFIXES = (*IMAGE_SUFFIXES, *XML_SUFFIXES)


class NameSet(Protocol):
    """The images that a list may name."""

    def identify(self, candidates: Sequence[str], suffixed: bool) -> tuple[str, str] | None:
        """The first of `candidates` that names an image, and its id; `suffixed`: by a file's whole name alone."""


@dataclass(frozen=True)
class ListLine:
    """A line of a list: its number from 1, its text, in it an image's name and what follows, and the image's id.

    Where no image is `found`, name and id are the first word.
    """

    number: int
    text: str
    name: str
    rest: str
    image_id: str
    found: bool


class FileNames:
    """The names of the image files in one index, and of the annotations in another."""

    def __init__(self, pictures: FileIndex, annotations: FileIndex) -> None:
        self._indexes = (pictures, annotations)

    def identify(self, candidates: Sequence[str], suffixed: bool) -> tuple[str, str] | None:
        """As `NameSet` says."""
        for candidate in candidates:
            image_id = self._named(candidate) if suffixed else self._known(candidate)
            if image_id is not None:
                return candidate, image_id
        return None

    def _named(self, name: str) -> str | None:
        stem = stem_of(name)
        return stem if stem is not None and any(index.find_named(name) for index in self._indexes) else None

    def _known(self, name: str) -> str | None:
        tries = (name, stem_of(name))
        return next((key for key in tries if key and any(index.find(key) for index in self._indexes)), None)


@dataclass(frozen=True)
class KnownIds:
    """Ids that are known without files."""

    ids: frozenset[str]

    def identify(self, candidates: Sequence[str], suffixed: bool) -> tuple[str, str] | None:
        """As `NameSet` says; ids have no suffixes."""
        return None if suffixed else next(((each, each) for each in candidates if each in self.ids), None)


def stem_of(name: str) -> str | None:
    """`name` without its suffix, None where that is none of an image or an annotation."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    return stem if suffix.lower() in SUFFIXES else None


def read_names(path: Path, names: NameSet | None, outside: bool = True) -> list[ListLine]:
    """The lines of a list that are not blank; without `names` the first word of each is the name.

    DataError names a line that may mean several images, or leads out of the data's folder unless `outside`.
    """
    lines = [(number, line) for number, line in enumerate(read_text(path, "list").split("\n"), 1) if line.strip()]
    suffixed = names is not None and all(names.identify(_candidates(line), True) for _, line in lines)
    return [_read_line(path, number, line, names, suffixed, outside) for number, line in lines]


def _read_line(
    path: Path, number: int, line: str, names: NameSet | None, suffixed: bool, outside: bool
) -> ListLine:
    text, where = line.strip(), f"{path}:{number}"
    try:
        found = names.identify(_candidates(line), suffixed) if names else None
    except DataError as error:
        raise DataError(f"{error} ({where})") from None
    name, image_id = found or (text.split(maxsplit=1)[0],) * 2
    require_file_name(name, outside, "image of a list", where)
    return ListLine(number, text, name, text[len(name.strip()) :].strip(), image_id, found is not None)


def _candidates(line: str) -> list[str]:
    """What may be the name in a line, the longest first."""
    text = line.strip()
    head, *last = text.rsplit(maxsplit=1)
    numbered = [head] if last and parse_int(last[0]) is not None else []
    names = (line, text, *numbered, text.split(maxsplit=1)[0])
    return list(dict.fromkeys(spelling for name in names for spelling in (name, name.replace("\\", "/"))))
