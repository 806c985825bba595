"""Detections that any system found in the images of a data set, read from a file in one of the usual forms."""

from pathlib import Path

import numpy as np

from detector.data.dataset import Dataset
from detector.data.exchange.coco_results import coco_ground_truth
from detector.data.exchange.submission import read_coco_results, read_submission
from detector.errors import DataError
from detector.records import DetectionTable


def read_detections(path: Path, dataset: Dataset) -> DetectionTable:
    """The detections in `path`: COCO results (.json) or a submission of ILSVRC (.txt), in the file's order.

    Images and classes go by the ids of the data set's COCO JSON, or for other data and in submissions by the
    images' numbers and the labels, as `write_coco_results` and `write_submission` write them. DataError names
    the line or entry that is wrong.
    """
    match path.suffix.lower():
        case ".json":
            return _read_results(path, dataset)
        case ".txt":
            return read_submission(path, dataset.indices, len(dataset.classes))
        case _:
            raise DataError(f"detections must be COCO results (.json) or a submission (.txt), got {path}")


def _read_results(path: Path, dataset: Dataset) -> DetectionTable:
    tree = coco_ground_truth(dataset)
    entries = read_coco_results(path, tree)
    positions = {image["id"]: position for position, image in enumerate(tree["images"])}
    labels = {category["id"]: dataset.classes.label(category["name"]) for category in tree["categories"]}
    sides = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    return DetectionTable(
        image=np.array([positions[entry["image_id"]] for entry in entries], np.int64),
        boxes=np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1),
        labels=np.array([labels[entry["category_id"]] for entry in entries], np.int64),
        scores=np.array([entry["score"] for entry in entries], np.float64),
    )
