"""Detections and any data set in COCO's form: results to submit, and instances for pycocotools.

Boxes are [x, y, width, height] in continuous pixels.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detector.data.classes import UNKNOWN_CATEGORY, ClassList
from detector.data.dataset import Dataset
from detector.data.formats.coco_tree import COCO_ID, CocoTree
from detector.errors import DataError
from detector.files import write_atomically
from detector.records import FIRST_LABEL, Array, DetectionTable, Float64


def write_coco_results(path: Path, table: DetectionTable, dataset: Dataset) -> None:
    """Write the detections of `dataset`'s images as COCO results, in the order of `table`.

    Ids are the JSON's own; detections of classes that its JSON does not have are left out.
    """
    image_ids = coco_image_ids(dataset)
    categories = np.array(_ids_of_labels(dataset.classes))
    if len(table.image) and int(table.image.max()) >= len(dataset):
        raise DataError(
            f"detections must be of {len(dataset)} images, got image {int(table.image.max())} ({path})"
        )
    columns = zip(
        image_ids[table.image].tolist(),
        categories[table.labels - FIRST_LABEL].tolist(),
        _sides(table.boxes).tolist(),
        table.scores.tolist(),
        strict=True,
    )
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        separator = "[\n"
        for image, category, box, score in columns:
            if category != UNKNOWN_CATEGORY:
                row = {"image_id": image, "category_id": category, "bbox": box, "score": score}
                file.write(separator + json.dumps(row))
                separator = ",\n"
        file.write("[]\n" if separator == "[\n" else "\n]\n")


def coco_ground_truth(dataset: Dataset) -> CocoTree:
    """The objects of `dataset` as an instances tree, for pycocotools.

    COCO does not know difficult objects: they count as any other. Boxes without area are
    left out.
    """
    image_ids = coco_image_ids(dataset)
    categories = np.array(_ids_of_labels(dataset.classes))
    objects = dataset.objects
    rows = np.flatnonzero((objects.boxes[:, 2:] > objects.boxes[:, :2]).all(axis=1))
    columns = zip(
        image_ids[objects.image[rows]].tolist(),
        categories[objects.labels[rows] - FIRST_LABEL].tolist(),
        _sides(objects.boxes[rows]).tolist(),
        objects.crowd[rows].tolist(),
        objects.areas[rows].tolist(),
        strict=True,
    )
    return {
        "images": [
            {"id": number, "file_name": Path(str(path)).name, "height": height, "width": width}
            for number, path, (height, width) in zip(
                image_ids.tolist(), dataset.paths, dataset.sizes.tolist(), strict=True
            )
        ],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": box,
                "area": area,
                "iscrowd": int(crowd),
            }
            for number, (image, category, box, crowd, area) in enumerate(columns, 1)
        ],
        "categories": [
            {"id": number, "name": name}
            for number, name in zip(categories.tolist(), dataset.classes.names, strict=True)
            if number != UNKNOWN_CATEGORY
        ],
    }


def coco_image_ids(dataset: Dataset) -> Array:
    """The id (n,) of each image in COCO files: its own where all are numbers, or text as some JSON have it.

    Text that looks like a number stays text. Other data's images, whose ids are names, are counted from 1.
    """
    ids = dataset.image_ids.tolist()
    if not dataset.text_ids and all(COCO_ID.fullmatch(image_id) for image_id in ids):
        return np.array([int(image_id) for image_id in ids], np.int64)
    return dataset.image_ids if dataset.classes.category_ids else np.arange(1, len(ids) + 1)


def stated_image_ids(dataset: Dataset) -> Array:
    """The id (n,) of each image as the data state it: COCO's, else the image's name."""
    return coco_image_ids(dataset) if dataset.classes.category_ids else dataset.image_ids


def _ids_of_labels(classes: ClassList) -> Sequence[int]:
    return classes.category_ids or range(FIRST_LABEL, len(classes) + FIRST_LABEL)


def _sides(boxes: Float64) -> Float64:
    """Boxes (N, 4) as COCO's [x, y, width, height]."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
