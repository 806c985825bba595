"""YOLO's label files: a line an object, `<class> <cx> <cy> <width> <height>` in shares of the image's sides.

Exports of outlines have `<class> <x1> <y1> <x2> <y2> ...`, three points or more, whose bounding box counts; those
of poses have the points of a body behind the box. Classes are counted from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.config.limits import CLASSES
from detector.data.formats.index_cache import cached
from detector.data.many_files import map_chunks
from detector.errors import DataError
from detector.files import read_text
from detector.records import Array, Float64, Int64
from detector.text import parse_float, shown

WHAT = "label file"
ROUNDING = 1e-4  # shares
FAR = 2.0  # a share beyond it is no box's that reaches over the edge: these are pixels
BOX_NAMES = ("cx", "cy", "width", "height")
FORMS = "<class> <cx> <cy> <width> <height>, or <class> and the x and y of three points or more"


@dataclass(frozen=True, eq=False)
class LabelTable:
    """The objects of many label files, flat and in their order.

    image (G,) i64 position of the object's file; numbers (G,) i64 of its class, from 0; boxes (G, 4) f64 corners
    as shares; lines (G,) i64 from 1; errors (E,) str are messages about files that cannot be read, which have no
    objects here.
    """

    image: Int64
    numbers: Int64
    boxes: Float64
    lines: Int64
    errors: Array


def read_labels(paths: Sequence[str], beside: int = 0) -> LabelTable:
    """The objects of all `paths` in order; an empty path stands for an image without a file, which has none.

    `beside` numbers follow each box and are left out.
    """
    return LabelTable(**cached("yolo", (beside,), paths, lambda: _read_all(paths, beside)))


def _read_all(paths: Sequence[str], beside: int) -> dict[str, Array]:
    chunks = map_chunks(lambda chunk: [_read_file(path, beside) for path in chunk], paths, "label files")
    files = [rows for chunk in chunks for rows in chunk]
    rows = [
        (image, *row) for image, found in enumerate(files) if not isinstance(found, DataError) for row in found
    ]
    table = np.array(rows, np.float64).reshape(-1, 7)
    return {
        "image": table[:, 0].astype(np.int64),
        "lines": table[:, 1].astype(np.int64),
        "numbers": table[:, 2].astype(np.int64),
        "boxes": table[:, 3:],
        "errors": np.array([str(found) for found in files if isinstance(found, DataError)], np.str_),
    }


def _read_file(path: str, beside: int) -> list[tuple[float, ...]] | DataError:
    """Rows of line, class and corners; or what is wrong with the file."""
    if not path:
        return []
    try:
        text = read_text(Path(path), WHAT)
        lines = [(number, line.split()) for number, line in enumerate(text.split("\n"), 1)]
        return [(number, *_object(words, beside, f"{path}:{number}")) for number, words in lines if words]
    except DataError as error:
        return error


def _object(words: Sequence[str], beside: int, where: str) -> tuple[float, ...]:
    """The class and the corners that a line states."""
    number = parse_float(words[0])
    if number is None or not 0 <= number <= CLASSES or number != int(number):
        raise DataError(f"class must be a whole number from 0 to {CLASSES}, got {shown(words[0])} ({where})")
    count = len(words) - 1
    is_box = count == 4 or (beside > 0 and count == 4 + beside)
    if not is_box and (count < 6 or count % 2):
        hint = ": is the last a prediction's confidence?" if count == 5 else ""
        raise DataError(f"line must read {FORMS}, got {len(words)} values{hint} ({where})")
    names = BOX_NAMES if is_box else tuple(f"{'xy'[at % 2]}{at // 2 + 1}" for at in range(count))
    shares = [_share(word, name, where) for word, name in zip(words[1:], names, strict=False)]
    if is_box:
        cx, cy, width, height = shares
        corners = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    else:
        xs, ys = shares[::2], shares[1::2]
        corners = (min(xs), min(ys), max(xs), max(ys))
    return (number, *map(_without_rounding, corners))


def _without_rounding(corner: float) -> float:
    """The edge of the image for a corner that is beyond it by no more than few written decimals are off."""
    return min(max(corner, 0.0), 1.0) if -ROUNDING <= corner <= 1 + ROUNDING else corner


def _share(word: str, name: str, where: str) -> float:
    value = parse_float(word)
    if value is None or abs(value) > FAR:
        hint = "" if value is None else ": are these pixels?"
        raise DataError(
            f"{name} must be a share of the image's side, from 0 to 1, got {shown(word)}{hint} ({where})"
        )
    return value
