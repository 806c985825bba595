"""Class lists: names and WNIDs in label order."""

import csv
import difflib
import io
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from detector.errors import DataError
from detector.files import write_text
from detector.records import FIRST_LABEL

HEADER = ("id", "wnid", "name")


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
                if labels.setdefault(word, label) != label:
                    raise DataError(f"class names must differ, got {word!r} twice")
        object.__setattr__(self, "_labels", labels)

    def __len__(self) -> int:
        return len(self.names)

    def label(self, word: str) -> int | None:
        """The label of a name or WNID, None where the list does not have it."""
        return self._labels.get(word)

    def unknown(self, word: str, where: str) -> str:
        """The message about a class, in the file `where`, that the list lacks; it offers the nearest name."""
        near = difflib.get_close_matches(word, list(self._labels), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"class name must be in the class list, got {word!r} ({where}){hint}"

    def name(self, label: int) -> str:
        """The name of `label` in 1..C."""
        return self.names[label - FIRST_LABEL]


def read_classes(path: Path) -> ClassList:
    """The classes of a CSV with the header id,wnid,name and ids 1..C in order; DataError names file and line."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return _parse(list(csv.reader(file)), str(path))
    except OSError as error:
        raise DataError(f"class list must be a readable CSV, got {path} ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"class list must be a UTF-8 CSV, got {path} ({error})") from None


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
    text = files("detector.data").joinpath("ilsvrc_det_classes.csv").read_text(encoding="utf-8")
    return _parse(list(csv.reader(text.splitlines())), "ilsvrc_det_classes.csv")


def _parse(rows: list[list[str]], source: str) -> ClassList:
    if not rows or [cell.strip() for cell in rows[0]] != list(HEADER):
        raise DataError(
            f"{source}:1 must be the header id,wnid,name, got {','.join(rows[0]) if rows else 'nothing'}"
        )
    names: list[str] = []
    wnids: list[str] = []
    for line, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) != 3 or row[0].strip() != str(len(names) + FIRST_LABEL):
            wanted = f"{len(names) + FIRST_LABEL},wnid,name"
            raise DataError(f"{source}:{line} must read {wanted}, got {','.join(row)}")
        wnids.append(row[1].strip())
        names.append(row[2].strip())
    return ClassList(tuple(names), tuple(wnids) if any(wnids) else ())
