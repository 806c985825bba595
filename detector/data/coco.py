"""COCO JSON: reading instances, writing results, and any data set in COCO's form.

Boxes are [x, y, width, height] in continuous pixels. Labels 1..C follow the rising category ids, which
`ClassList.category_ids` keeps for writing.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import DataSettings
from detector.data.assembly import settle
from detector.data.classes import ClassList
from detector.data.dataset import Dataset, all_complete
from detector.data.folders import require_folder
from detector.errors import DataError
from detector.files import write_atomically
from detector.records import FIRST_LABEL, DetectionTable, Float64, Int64, ObjectTable, object_table

UNKNOWN_CATEGORY = -1  # in `category_ids`, for a class that the JSON does not have
COCO_ID = re.compile(r"0|-?[1-9]\d{0,17}")
Tree = dict[str, Any]


def read_coco(settings: DataSettings, split: str, classes: ClassList) -> Dataset:
    """The images of ROOT/annotations/instances_SPLIT.json or ROOT/instances_SPLIT.json, in its order.

    Images without annotations are kept. image_ids are the JSON's as text.
    """
    source = find_coco_json(settings.root, split)
    tree = read_coco_json(source)
    images = tree["images"]
    folder = find_images(settings.root, split, images)
    count = len(images)
    found = Dataset(
        name=Path(split).stem,
        classes=replace(classes, category_ids=_category_ids(tree, classes)),
        image_ids=np.array([str(image["id"]) for image in images], np.str_),
        paths=np.array([str(folder / image["file_name"]) for image in images], np.str_),
        sizes=stated_sizes(images),
        objects=_objects(tree, classes, source),
        complete=all_complete(count, classes),
        indices=np.arange(1, count + 1),
        blacklist=np.empty((0, 2), np.int64),
        notes=(f"{split}: COCO JSON {source}, images in {folder}",),
    )
    return settle(found, [f"{source}, image {image['file_name']}" for image in images], settings)


def find_coco_json(root: Path, split: str) -> Path:
    """The instances file of `split`; `split` may also be the path of one."""
    require_folder(root, "data.root")
    names = [root / "annotations" / f"instances_{split}.json", root / f"instances_{split}.json"]
    if split.endswith(".json"):
        names = [root / split, Path(split)]
    for path in names:
        if path.is_file():
            return path
    raise DataError(f"split must have a COCO JSON file, got {split!r} (looked for {names[0]} and {names[1]})")


def coco_class_names(settings: DataSettings, splits: Sequence[str]) -> tuple[str, ...]:
    """The names of the categories in the order of their ids; all `splits` must have the same."""
    files = [find_coco_json(settings.root, split) for split in splits]
    categories = [_sorted_categories(read_coco_json(file)) for file in files]
    for file, other in zip(files, categories, strict=True):
        if other != categories[0]:
            raise DataError(f"categories must be those of {files[0]}, got others in {file}")
    return tuple(categories[0].values())


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


def coco_ground_truth(dataset: Dataset) -> Tree:
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


def coco_image_ids(dataset: Dataset) -> Int64:
    """The number (n,) of each image in COCO files: its id where all ids are numbers, else its position + 1."""
    ids = dataset.image_ids.tolist()
    if all(COCO_ID.fullmatch(image_id) for image_id in ids):
        return np.array([int(image_id) for image_id in ids], np.int64)
    return np.arange(1, len(ids) + 1)


def read_coco_json(path: Path) -> Tree:
    """The instances tree in `path`, checked; DataError names the file and the first entry that is wrong."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"COCO JSON must be a readable file, got {path} ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"COCO JSON must be valid JSON, got {path} ({error})") from None
    if not isinstance(tree, dict):
        raise DataError(f"COCO JSON must be an object, got {type(tree).__name__} ({path})")
    images = _unique_ids(tree, "images", path)
    categories = _unique_ids(tree, "categories", path)
    for entry in tree["images"]:
        _require(isinstance(entry.get("file_name"), str), "file_name", "text", entry, path)
        for side in ("height", "width"):
            _require(_is_side(entry.get(side, 0)), side, "a number of pixels", entry, path)
    for entry in tree["categories"]:
        _require(isinstance(entry.get("name"), str), "name", "text", entry, path)
    for entry in _entries(tree, "annotations", path):
        _check_annotation(entry, images, categories, path)
    _unique_ids(tree, "annotations", path)
    return tree


def _entries(tree: Tree, name: str, path: Path) -> list[Tree]:
    entries = tree.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        got = type(entries).__name__ if name in tree else "nothing"
        raise DataError(f"{name} must be a list of objects, got {got} ({path})")
    return entries


def _unique_ids(tree: Tree, name: str, path: Path) -> set[int]:
    known: set[int] = set()
    for position, entry in enumerate(_entries(tree, name, path)):
        number = entry.get("id")
        if type(number) is not int or number in known:
            raise DataError(f"{name}[{position}].id must be a whole number of its own, got {number!r} ({path})")
        known.add(number)
    return known


def _check_annotation(entry: Tree, images: set[int], categories: set[int], path: Path) -> None:
    box = entry.get("bbox")
    right = isinstance(box, list) and len(box) == 4 and all(_is_finite(side) for side in box)
    _require(right, "bbox", "4 finite numbers", entry, path)
    _require(_is_in(entry.get("image_id"), images), "image_id", "the id of an image", entry, path)
    _require(_is_in(entry.get("category_id"), categories), "category_id", "the id of a category", entry, path)
    _require(entry.get("iscrowd", 0) in (0, 1), "iscrowd", "0 or 1", entry, path)
    _require(_is_finite(entry.get("area", 0)), "area", "a finite number", entry, path)


def _area(entry: Tree) -> float:
    """The area that an annotation states, of its outline, or its box's."""
    return entry.get("area", entry["bbox"][2] * entry["bbox"][3])


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def _is_side(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_in(value: object, ids: set[int]) -> bool:
    return type(value) is int and value in ids


def _require(right: bool, name: str, wanted: str, entry: Mapping[str, Any], path: Path) -> None:
    if not right:
        raise DataError(f"{name} of entry {entry.get('id')!r} must be {wanted}, got {entry.get(name)!r} ({path})")


def _sorted_categories(tree: Tree) -> dict[int, str]:
    return dict(sorted((category["id"], category["name"]) for category in tree["categories"]))


def _category_ids(tree: Tree, classes: ClassList) -> tuple[int, ...]:
    ids = {name: number for number, name in _sorted_categories(tree).items()}
    return tuple(ids.get(name, UNKNOWN_CATEGORY) for name in classes.names)


def _ids_of_labels(classes: ClassList) -> Sequence[int]:
    return classes.category_ids or range(FIRST_LABEL, len(classes) + FIRST_LABEL)


def find_images(root: Path, split: str, images: Sequence[Tree]) -> Path:
    """The folder that holds the images of a split; DataError where none does."""
    name = Path(split).stem.removeprefix("instances_")
    folders = [root / name, root / "images" / name, root / "images", root]
    for folder in folders:
        if not images or any((folder / image["file_name"]).is_file() for image in images):
            return folder
    raise DataError(f"images of {split} must be in a folder, got none (looked for {', '.join(map(str, folders))})")


def stated_sizes(images: Sequence[Tree]) -> Int64:
    """Heights and widths (n, 2) that the annotations state, 0 where they do not."""
    sides = [(image.get("height", 0), image.get("width", 0)) for image in images]
    return np.array(sides, np.int64).reshape(-1, 2)


def _objects(tree: Tree, classes: ClassList, source: Path) -> ObjectTable:
    labels = _labels_by_category(tree, classes, source)
    position = {image["id"]: place for place, image in enumerate(tree["images"])}
    entries = sorted(tree["annotations"], key=lambda entry: position[entry["image_id"]])
    sides = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    return object_table(
        image=np.array([position[entry["image_id"]] for entry in entries], np.int64),
        boxes=np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1),
        labels=np.array([labels[entry["category_id"]] for entry in entries], np.int64),
        difficult=np.zeros(len(entries), np.bool_),
        crowd=np.array([entry.get("iscrowd", 0) == 1 for entry in entries], np.bool_),
        areas=np.array([_area(entry) for entry in entries], np.float64),
    )


def _labels_by_category(tree: Tree, classes: ClassList, source: Path) -> dict[int, int]:
    """The label of each category that has annotations; DataError names one that `classes` lacks."""
    names = _sorted_categories(tree)
    labels: dict[int, int] = {}
    for number in sorted({entry["category_id"] for entry in tree["annotations"]}):
        label = classes.label(names[number])
        if label is None:
            raise DataError(classes.unknown(names[number], str(source)))
        labels[number] = label
    return labels


def _sides(boxes: Float64) -> Float64:
    """Boxes (N, 4) as COCO's [x, y, width, height]."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
