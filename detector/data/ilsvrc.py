"""ILSVRC-DET."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detector.data.annotations import AnnotationTable, label_objects, read_annotations
from detector.data.classes import ClassList
from detector.data.lists import read_blacklist as read_blacklist
from detector.data.lists import read_image_list as read_image_list
from detector.records import Float64, ObjectTable


def read_ground_truth(folder: Path, ids: Sequence[str], classes: ClassList) -> ObjectTable:
    """The objects in `folder`/ID.xml of all `ids`, in continuous pixels and unclipped.

    An image without a file has no objects. DataError names the file and the class that `classes` lacks.
    """
    paths = [folder / f"{image_id}.xml" for image_id in ids]
    present = [str(path) if path.is_file() else "" for path in paths]
    return _objects(read_annotations(present), present, classes)


def _objects(table: AnnotationTable, paths: Sequence[str], classes: ClassList) -> ObjectTable:
    return ObjectTable(
        image=table.image,
        boxes=_continuous(table.corners),
        labels=label_objects(table, paths, classes),
        difficult=table.difficult,
        crowd=np.zeros(len(table.image), np.bool_),
    )


def _continuous(corners: Float64) -> Float64:
    """0-based inclusive pixels as continuous boxes (G, 4)."""
    return corners + np.array([0.0, 0.0, 1.0, 1.0])
