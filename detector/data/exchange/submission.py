"""Detections in files: ILSVRC's submission text, and COCO's results JSON.

A submission line is `<image index> <class id> <score> <xmin> <ymin> <xmax> <ymax>`: the index is that of the
image list, corners are 0-based inclusive pixels, which may be fractional.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.data.numbers import BOX, COORDINATE, HIGHEST_SCORE, LARGEST, SCORE, is_box, is_number, is_score
from detector.errors import DataError
from detector.files import read_json, read_text, write_text
from detector.records import FIRST_LABEL, DetectionTable, Float64, Int64
from detector.text import parse_float, shown

FIELDS = ("image index", "class id", "score", "xmin", "ymin", "xmax", "ymax")
HIGHEST = np.array([np.inf, np.inf, HIGHEST_SCORE, *[LARGEST] * 4])  # what each field may be
TO_CONTINUOUS = np.array([0.0, 0.0, 1.0, 1.0])


def read_submission(path: Path, indices: Int64, num_classes: int) -> DetectionTable:
    """The detections of a submission, in the order of its lines; a file without lines has none.

    `indices` (n,) are the images' own. DataError names the line where a field is missing or no finite number,
    or where the image index or the class id is unknown.
    """
    text = read_text(path, "submission")
    rows = _parse(text)
    image = _positions(rows[:, 0], indices)
    labels = rows[:, 1]
    known = (image >= 0) & (labels >= FIRST_LABEL) & (labels <= num_classes) & (labels == np.floor(labels))
    if not (known.all() and (np.abs(rows) <= HIGHEST).all()):  # NaN is not less
        raise _first_fault(path, text, indices, num_classes)
    return DetectionTable(image, rows[:, 3:] + TO_CONTINUOUS, labels.astype(np.int64), rows[:, 2])


def write_submission(path: Path, table: DetectionTable, indices: Int64) -> None:
    """Write `table` as a submission that reads back to the same scores; row order is kept."""
    corners = table.boxes - TO_CONTINUOUS
    columns = (indices[table.image], table.labels, table.scores, *corners.T)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    write_text(path, "".join(" ".join(map(repr, row)) + "\n" for row in rows))


def read_coco_results(path: Path, annotations: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of a COCO results file, for images and categories of the instances tree `annotations`.

    DataError names the position (from 0) of an entry that is no detection or of something unknown.
    """
    entries = read_json(path, "results")
    if not isinstance(entries, list):
        raise DataError(f"results must be a list of detections, got {type(entries).__name__} ({path})")
    images = {image["id"] for image in annotations["images"]}
    categories = {category["id"] for category in annotations["categories"]}
    for position, entry in enumerate(entries):
        fault = _entry_fault(entry, images, categories)
        if fault:
            raise DataError(f"{fault} ({path}, entry {position})")
    return entries


def _parse(text: str) -> Float64:
    """The numbers of all lines (M, 7), NaN in the first column of all rows if some line is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "loadtxt: input contained no data", UserWarning)
        try:
            rows = np.loadtxt(text.split("\n"), np.float64, comments=None, ndmin=2)
        except ValueError:
            return np.full((1, len(FIELDS)), np.nan)
    if rows.size == 0:
        return np.empty((0, len(FIELDS)))
    return rows if rows.shape[1] == len(FIELDS) else np.full((1, len(FIELDS)), np.nan)


def _positions(numbers: Float64, indices: Int64) -> Int64:
    """Where each image index stands among `indices`, -1 where it does not."""
    if not len(indices):
        return np.full(len(numbers), -1)
    order = np.argsort(indices)
    place = np.minimum(np.searchsorted(indices[order], numbers), len(indices) - 1)
    return np.where(indices[order][place] == numbers, order[place], -1)


def _first_fault(path: Path, text: str, indices: Int64, num_classes: int) -> DataError:
    """The error of the first wrong line, found by reading again, slowly."""
    known = set(indices.tolist())
    for number, line in enumerate(text.split("\n"), 1):
        fault = _line_fault(line.split(), known, num_classes)
        if fault:
            return DataError(f"{path}:{number} {fault}")
    return DataError(f"{path} must hold numbers only")


def _line_fault(words: Sequence[str], indices: set[int], num_classes: int) -> str | None:
    if not words:
        return None
    if len(words) != len(FIELDS):
        wanted = " ".join(f"<{name}>" for name in FIELDS)
        return f"must read {wanted}, got {len(words)} fields"
    numbers = [parse_float(word) for word in words]
    for name, value, highest, word in zip(FIELDS, numbers, HIGHEST, words, strict=True):
        if value is None or not is_number(value, highest):
            wanted = SCORE if highest > LARGEST else COORDINATE
            return f"{name} must be {wanted}, got {shown(word)}"
    if numbers[0] not in indices:
        return f"image index must be one of the image list, got {shown(words[0])}"
    if numbers[1] not in range(FIRST_LABEL, num_classes + 1):
        return f"class id must be in {FIRST_LABEL}..{num_classes}, got {shown(words[1])}"
    return None


def _entry_fault(entry: Any, images: set[Any], categories: set[Any]) -> str | None:
    if not isinstance(entry, dict):
        return f"result must be an object with image_id, category_id, bbox, score, got {type(entry).__name__}"
    for right, name, wanted in (
        (_is_among(entry.get("image_id"), images), "image_id", "an image of the annotations"),
        (_is_among(entry.get("category_id"), categories), "category_id", "a category of the annotations"),
        (is_box(entry.get("bbox")), "bbox", BOX),
        (is_score(entry.get("score")), "score", SCORE),
    ):
        if not right:
            return f"{name} must be {wanted}, got {shown(entry.get(name))}"
    return None


def _is_among(value: Any, known: set[Any]) -> bool:
    return type(value) in (int, float, str) and value in known
