"""Small data sets on disk, for tests of the readers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Box = Sequence[float | str]  # xmin, ymin, xmax, ymax as the file shall state them


def write_image(path: Path, height: int = 40, width: int = 60) -> Path:
    """A coloured picture, in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], axis=-1)
    cv2.imwrite(str(path), image.astype(np.uint8))
    return path


def annotation_text(objects: Sequence[tuple[str, Box]], height: object = 40, width: object = 60) -> str:
    """An annotation with the corners in ILSVRC's order, xmin, xmax, ymin, ymax."""
    parts = [
        f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x1}</xmin><xmax>{x2}</xmax>"
        f"<ymin>{y1}</ymin><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2) in objects
    ]
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>not_to_be_trusted.jpg</filename>{size}{''.join(parts)}</annotation>"


def write_annotation(path: Path, *objects: tuple[str, Box], height: object = 40, width: object = 60) -> Path:
    """`annotation_text` in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(annotation_text(objects, height, width))
    return path


def write_lines(path: Path, *lines: str) -> Path:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def side_by_side(root: Path, split: str, **objects: Sequence[tuple[str, Box]]) -> Path:
    """A VOC-like split of pictures with the XML files beside them."""
    for image_id, rows in objects.items():
        write_image(root / split / f"{image_id}.jpg")
        write_annotation(root / split / f"{image_id}.xml", *rows)
    return root


def coco_tree() -> dict[str, Any]:
    """Two images, the second without objects; categories 3 and 7, stated in falling order."""
    return {
        "images": [
            {"id": 12, "file_name": "b.jpg", "height": 40, "width": 60},
            {"id": 5, "file_name": "a.jpg", "height": 40, "width": 60},
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 12, "category_id": 7, "bbox": [1.5, 2, 10, 20.25], "area": 1, "iscrowd": 0},
            {"id": 2, "image_id": 12, "category_id": 3, "bbox": [0, 0, 60, 40], "area": 1, "iscrowd": 1},
        ],
    }


def write_coco(root: Path, split: str, tree: Mapping[str, Any]) -> Path:
    """The instances file of `split`, with its pictures in ROOT/SPLIT."""
    for image in tree["images"]:
        write_image(root / split / str(image["file_name"]))
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))
    return path
