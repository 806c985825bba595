"""Detections written while they are made: COCO results as JSON, and a table as CSV."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from detector.data.coco import read_coco_json
from detector.errors import DataError
from detector.files import write_atomically
from detector.records import FIRST_LABEL, Detections

COLUMNS = ("image_id", "file", "frame", "class", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Numbering:
    """The numbers that COCO results use: of images by file name, of the classes in label order.

    Without names of files images are counted from 1.
    """

    category_ids: tuple[int, ...]
    image_ids: Mapping[str, int] = field(default_factory=dict)

    def image(self, file: str, position: int) -> int:
        """The id of the image `file`, the `position`th from 0; DataError where the annotations lack it."""
        if not self.image_ids:
            return position + 1
        name = Path(file).name
        if name not in self.image_ids:
            raise DataError(f"image must be one of the annotations, got {file}")
        return self.image_ids[name]


def count_from_one(classes: Sequence[str]) -> Numbering:
    """Labels as category ids, and images counted."""
    return Numbering(tuple(range(FIRST_LABEL, len(classes) + FIRST_LABEL)))


def numbering_of(path: Path, classes: Sequence[str]) -> Numbering:
    """The ids of the COCO annotations in `path`; DataError names a class they lack."""
    tree = read_coco_json(path)
    ids = {category["name"]: category["id"] for category in tree["categories"]}
    for name in classes:
        if name not in ids:
            raise DataError(
                f"annotations must have the classes of the detector, got none called {name!r} ({path})"
            )
    images = {Path(image["file_name"]).name: image["id"] for image in tree["images"]}
    return Numbering(tuple(ids[name] for name in classes), images)


class DetectionWriter:
    """Appends the detections of image after image to both files."""

    def __init__(self, results: TextIO, table: TextIO, classes: Sequence[str], numbering: Numbering) -> None:
        self.results = results
        self.table: Any = csv.writer(table, lineterminator="\n")
        self.classes = classes
        self.numbering = numbering
        self.separator = "[\n"
        self.table.writerow(COLUMNS)

    def add(self, image_id: int, file: str, frame: int | None, found: Detections) -> None:
        """The detections of an image, in their order; boxes are x, y, width, height in JSON, corners in CSV."""
        columns = (found.labels, found.scores, found.boxes)
        for label, score, (x1, y1, x2, y2) in zip(*(column.tolist() for column in columns), strict=True):
            row = {
                "image_id": image_id,
                "category_id": self.numbering.category_ids[label - FIRST_LABEL],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
            self.results.write(self.separator + json.dumps(row))
            self.separator = ",\n"
            corners = [f"{corner:.2f}" for corner in (x1, y1, x2, y2)]
            number = "" if frame is None else frame
            name = self.classes[label - FIRST_LABEL]
            self.table.writerow([image_id, file, number, name, f"{score:.6g}", *corners])

    def end(self) -> None:
        """Close the list."""
        self.results.write("[]\n" if self.separator == "[\n" else "\n]\n")


@contextmanager
def open_detection_files(folder: Path, classes: Sequence[str], numbering: Numbering) -> Iterator[DetectionWriter]:
    """`folder`/results.json and detections.csv, which are there once all is written."""
    with (
        write_atomically(folder / "results.json") as results,
        write_atomically(folder / "detections.csv") as table,
        results.open("w", encoding="utf-8") as result_file,
        table.open("w", encoding="utf-8", newline="") as table_file,
    ):
        writer = DetectionWriter(result_file, table_file, classes, numbering)
        yield writer
        writer.end()
