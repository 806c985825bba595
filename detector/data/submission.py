"""Detections in files: ILSVRC's submission text, and COCO's results JSON.

A submission line is `<image index> <class id> <score> <xmin> <ymin> <xmax> <ymax>`: the index is that of the
image list, corners are 0-based inclusive pixels, which may be fractional.
"""

import json
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.errors import DataError
from detector.files import write_text
from detector.records import FIRST_LABEL, DetectionTable, Float64, Int64

FIELDS = ("image index", "class id", "score", "xmin", "ymin", "xmax", "ymax")
TO_CONTINUOUS = np.array([0.0, 0.0, 1.0, 1.0])


def read_submission(path: Path, indices: Int64, num_classes: int) -> DetectionTable:
    """The detections of a submission, in the order of its lines; a file without lines has none.

    `indices` (n,) are the images' own. DataError names the line where a field is missing or no finite number,
    or where the image index or the class id is unknown.
    """
    rows = _parse(path)
    image = _positions(rows[:, 0], indices)
    labels = rows[:, 1]
    known = (image >= 0) & (labels >= FIRST_LABEL) & (labels <= num_classes) & (labels == np.floor(labels))
    if not (known.all() and np.isfinite(rows).all()):
        raise _first_fault(path, indices, num_classes)
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
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"results must be a readable JSON file, got {path} ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"results must be valid JSON, got {error} ({path})") from None
    if not isinstance(entries, list):
        raise DataError(f"results must be a list of detections, got {type(entries).__name__} ({path})")
    images = {image["id"] for image in annotations["images"]}
    categories = {category["id"] for category in annotations["categories"]}
    for position, entry in enumerate(entries):
        fault = _entry_fault(entry, images, categories)
        if fault:
            raise DataError(f"{fault} ({path}, entry {position})")
    return entries


def _parse(path: Path) -> Float64:
    """The numbers of all lines (M, 7), NaN in the first column of all rows if some line is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "loadtxt: input contained no data", UserWarning)
        try:
            rows = np.loadtxt(path, np.float64, comments=None, encoding="utf-8-sig", ndmin=2)
        except OSError as error:
            raise DataError(f"submission must be a readable text file, got {path} ({error.strerror})") from None
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


def _first_fault(path: Path, indices: Int64, num_classes: int) -> DataError:
    """The error of the first wrong line, found by reading again, slowly."""
    known = set(indices.tolist())
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
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
    numbers = [_number(word) for word in words]
    for name, value, word in zip(FIELDS, numbers, words, strict=True):
        if not math.isfinite(value):
            return f"{name} must be a finite number, got {word!r}"
    if numbers[0] not in indices:
        return f"image index must be one of the image list, got {words[0]}"
    if numbers[1] not in range(FIRST_LABEL, num_classes + 1):
        return f"class id must be in {FIRST_LABEL}..{num_classes}, got {words[1]}"
    return None


def _number(word: str) -> float:
    try:
        return float(word) if "_" not in word else math.nan
    except ValueError:
        return math.nan


def _entry_fault(entry: Any, images: set[Any], categories: set[Any]) -> str | None:
    if not isinstance(entry, dict):
        return f"result must be an object with image_id, category_id, bbox, score, got {type(entry).__name__}"
    if not _is_among(entry.get("image_id"), images):
        return f"image_id must be an image of the annotations, got {entry.get('image_id')!r}"
    if not _is_among(entry.get("category_id"), categories):
        return f"category_id must be a category of the annotations, got {entry.get('category_id')!r}"
    box = entry.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
        return f"bbox must be four finite numbers x, y, width, height, got {box!r}"
    if not _is_finite(entry.get("score")):
        return f"score must be a finite number, got {entry.get('score')!r}"
    return None


def _is_among(value: Any, known: set[Any]) -> bool:
    return isinstance(value, int | float | str) and value in known


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max
