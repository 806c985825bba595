"""A data format as CONTRIBUTING.md tells to add one: ROOT/SPLIT.csv with lines `<file>,<class>,x1,y1,x2,y2`."""

import csv

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.formats.data_format import Format, RawSplit
from detector.errors import DataError
from detector.files import read_text


def read_csv(settings: DataSettings, split: str, classes: ClassList | None) -> RawSplit:
    """The images of the list in the order of their first objects."""
    path = settings.root / f"{split}.csv"
    rows = sorted(csv.reader(read_text(path, "list of objects").splitlines()))
    files = list(dict.fromkeys(row[0] for row in rows))
    errors = []
    for row in [row for row in rows if len(row) != 6]:
        errors.append(f"line must read <file>,<class>,x1,y1,x2,y2, got {','.join(row)!r} ({path})")
        rows.remove(row)
    if not files:
        raise DataError(f"list of objects must name an image, got none ({path})")
    return RawSplit(
        name=split,
        note=f"{split}: objects in {path}",
        ids=np.array(files),
        paths=np.array([str(settings.root / file) for file in files]),
        sources=np.array([str(path)] * len(files)),
        stated=np.zeros((len(files), 2), np.int64),
        image=np.array([files.index(row[0]) for row in rows], np.int64),
        names=np.array([row[1] for row in rows], np.str_),
        boxes=np.array([row[2:] for row in rows], np.float64).reshape(-1, 4),
        difficult=np.zeros(len(rows), np.bool_),
        crowd=np.zeros(len(rows), np.bool_),
        errors=tuple(errors),
    )


FORMAT = Format(read_csv, "They are toys: play with them.")
