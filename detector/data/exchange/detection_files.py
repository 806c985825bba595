"""Detections written while they are made: COCO results as JSON, and a table as CSV."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from detector.data.classes import ClassList
from detector.data.formats.coco_tree import CocoId, read_coco_json, sorted_categories
from detector.data.image_ids import ImageIds
from detector.data.synsets import matched_classes
from detector.errors import DataError
from detector.files import open_text, write_atomically
from detector.records import FIRST_LABEL, Detections

COLUMNS = ("image_id", "file", "frame", "class", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Numbering:
    """The numbers that COCO results use: of the classes in label order, of images by file.

    A class without a number is left out of the results. Without ids of images they are counted from 1.
    """

    category_ids: tuple[int | None, ...]
    image_ids: ImageIds | None = None

    def image(self, file: str, position: int) -> CocoId:
        """The id of the image `file`, the `position`th from 0; DataError where the annotations lack it."""
        return position + 1 if self.image_ids is None else self.image_ids.find(file)

    def check(self, files: Iterable[str]) -> None:
        """DataError where one of `files` is none of the annotated images, or two of them are the same."""
        if self.image_ids is not None:
            self.image_ids.check(files)


def count_from_one(classes: Sequence[str]) -> Numbering:
    """Labels as category ids, and images counted."""
    return Numbering(tuple(range(FIRST_LABEL, len(classes) + FIRST_LABEL)))


def numbering_of(path: Path, classes: ClassList) -> Numbering:
    """The ids of the COCO annotations in `path`, for those of `classes` that they have; DataError for none."""
    tree = read_coco_json(path)
    categories = sorted_categories(tree)
    labels = matched_classes(tuple(categories.values()), classes)
    ids = {label: number for label, number in zip(labels, categories, strict=True) if label is not None}
    if not ids:
        raise DataError(
            f"annotations must have classes of the detector, got none of {', '.join(classes.names)} ({path})"
        )
    images = ImageIds(((image["file_name"], image["id"]) for image in tree["images"]), path)
    return Numbering(tuple(ids.get(label) for label in range(FIRST_LABEL, len(classes) + FIRST_LABEL)), images)


class DetectionWriter:
    """Appends the detections of image after image to both files."""

    def __init__(self, results: TextIO, table: TextIO, classes: Sequence[str], numbering: Numbering) -> None:
        self.results = results
        self.table: Any = csv.writer(table, lineterminator="\n")
        self.classes = classes
        self.numbering = numbering
        self.images = 0
        self.separator = "[\n"
        self.table.writerow(COLUMNS)

    def add(self, image_id: CocoId, file: str, frame: int | None, found: Detections) -> None:
        """The detections of an image, in their order; boxes are x, y, width, height in JSON, corners in CSV."""
        columns = (found.labels, found.scores, found.boxes)
        rows, lines = [], []
        for label, score, (x1, y1, x2, y2) in zip(*(column.tolist() for column in columns), strict=True):
            category_id = self.numbering.category_ids[label - FIRST_LABEL]
            if category_id is not None:
                bbox = [x1, y1, x2 - x1, y2 - y1]
                row = {"image_id": image_id, "category_id": category_id, "bbox": bbox, "score": score}
                rows.append(json.dumps(row))
            corners = [f"{corner:.2f}" for corner in (x1, y1, x2, y2)]
            number = "" if frame is None else frame
            lines.append([image_id, file, number, self.classes[label - FIRST_LABEL], f"{score:.6g}", *corners])
        if rows:
            self.results.write(self.separator + ",\n".join(rows))
            self.separator = ",\n"
        self.table.writerows(lines)
        self.images += 1

    def end(self) -> None:
        """Close the list."""
        self.results.write("[]\n" if self.separator == "[\n" else "\n]\n")


@contextmanager
def open_detection_files(
    folder: Path, classes: Sequence[str], numbering: Numbering, replaced: Callable[[], None] = lambda: None
) -> Iterator[DetectionWriter]:
    """`folder`/results.json and detections.csv, which are there once all is written; then `replaced` is called.

    Where an error or an interrupt ends the writing, they hold the images that were added, if there are any.
    Names that are not UTF-8 are written as escapes.
    """
    ended = None
    with (
        write_atomically(folder / "results.json") as results,
        write_atomically(folder / "detections.csv") as table,
        open_text(results) as result_file,
        open_text(table) as table_file,
    ):
        writer = DetectionWriter(result_file, table_file, classes, numbering)
        try:
            yield writer
        except BaseException as error:
            if not writer.images:
                raise
            ended = error
        writer.end()
    replaced()
    if ended is not None:
        raise ended
