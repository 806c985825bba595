"""COCO JSON: reading instances, writing results, and any data set in COCO's form.

Boxes are [x, y, width, height] in continuous pixels. Labels 1..C follow the rising category ids, which
`ClassList.category_ids` keeps for writing.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList, class_list
from detector.data.dataset import Dataset, all_complete, split_name
from detector.data.folders import is_file, is_folder, is_no_folder, require_file_name, require_folder
from detector.data.formats.assembly import settle
from detector.data.formats.coco_tree import COCO_ID, Tree, area_of, sorted_categories
from detector.data.formats.coco_tree import read_coco_json as read_coco_json
from detector.errors import DataError
from detector.files import write_atomically
from detector.records import FIRST_LABEL, DetectionTable, Float64, Int64, ObjectTable, object_table
from detector.text import shown

UNKNOWN_CATEGORY = -1  # in `category_ids`, for a class that the JSON does not have
BESIDE_IMAGES = "_annotations.coco.json"  # Roboflow's name for the JSON in the folder of a split's images
LOOKED_FOR = 200  # images of a split, to find the folder that holds them


@dataclass(frozen=True)
class CocoSplit:
    """A split's JSON, its checked content, and of each image the path and where it stands, for messages."""

    source: Path
    tree: Tree
    folder: Path
    paths: list[str]
    origins: list[str]


def read_coco(settings: DataSettings, split: str, classes: ClassList) -> Dataset:
    """The images of the JSON that `find_coco_json` finds, in its order.

    Images without annotations are kept. image_ids are the JSON's as text.
    """
    files = find_split(settings, split)
    images = files.tree["images"]
    count = len(images)
    found = Dataset(
        name=split_name(split),
        classes=replace(classes, category_ids=_category_ids(files.tree, classes)),
        image_ids=np.array([str(image["id"]) for image in images], np.str_),
        paths=np.array(files.paths, np.str_),
        sizes=stated_sizes(images),
        objects=_objects(files, classes),
        complete=all_complete(count, classes),
        indices=np.arange(1, count + 1),
        blacklist=np.empty((0, 2), np.int64),
        notes=(f"{split}: COCO JSON {files.source}, images in {files.folder}",),
    )
    return settle(found, files.origins, settings)


def find_split(settings: DataSettings, split: str) -> CocoSplit:
    """The files of `split`; DataError names an image that is listed twice, or lies where it may not."""
    source = find_coco_json(settings.root, split)
    tree = read_coco_json(source)
    names = [image["file_name"] for image in tree["images"]]
    _check_file_names(names, settings.outside_root == "allow", source)
    folder = _find_folder(settings.root, split, source, names)
    paths = [str(folder / name) for name in names]
    return CocoSplit(source, tree, folder, paths, [f"{source}, image {name}" for name in names])


def find_coco_json(root: Path, split: str) -> Path:
    """The instances file of `split`; `split` may also be the path of one.

    It is ROOT/annotations/instances_SPLIT.json, ROOT/instances_SPLIT.json or ROOT/SPLIT/_annotations.coco.json.
    """
    require_folder(root, "data.root")
    name = f"instances_{split}.json"
    paths = [root / "annotations" / name, root / name, root / split / BESIDE_IMAGES]
    if split.endswith(".json"):
        paths = [root / split, Path(split)]
    for path in paths:
        if is_no_folder(path):
            return path
    looked = f"{', '.join(map(str, paths[:-1]))} and {paths[-1]}"
    raise DataError(f"split must have a COCO JSON file, got {shown(split)} (looked for {looked})")


def coco_class_names(settings: DataSettings, splits: Sequence[str]) -> tuple[str, ...]:
    """The names of the categories in the order of their ids; all `splits` must have the same."""
    files = [find_coco_json(settings.root, split) for split in splits]
    categories = [sorted_categories(read_coco_json(file)) for file in files]
    for file, other in zip(files, categories, strict=True):
        if other != categories[0]:
            raise DataError(f"categories must be those of {files[0]}, got others in {file}")
    if not categories[0]:
        raise DataError(f"categories must be at least one class, got none ({files[0]})")
    return class_list(categories[0].values(), (), str(files[0])).names


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


def _category_ids(tree: Tree, classes: ClassList) -> tuple[int, ...]:
    ids = {name: number for number, name in sorted_categories(tree).items()}
    return tuple(ids.get(name, UNKNOWN_CATEGORY) for name in classes.names)


def _ids_of_labels(classes: ClassList) -> Sequence[int]:
    return classes.category_ids or range(FIRST_LABEL, len(classes) + FIRST_LABEL)


def _check_file_names(names: Sequence[str], outside: bool, source: Path) -> None:
    known: dict[str, int] = {}
    for position, name in enumerate(names):
        what = f"images[{position}].file_name"
        require_file_name(name, outside, what, str(source))
        first = known.setdefault(os.path.normpath(name), position)
        if first != position:
            raise DataError(f"{what} must be another file than images[{first}]'s, got {shown(name)} ({source})")


def _find_folder(root: Path, split: str, source: Path, names: Sequence[str]) -> Path:
    """The folder that holds the most of a split's images, the first of equals; DataError where none holds any."""
    name = Path(split).stem.removeprefix("instances_")
    beside = source.parent
    places = [root / name, root / "images" / name, beside, beside / "images", root / "images", root]
    folders = [folder for folder in dict.fromkeys(places) if is_folder(folder)]
    step = -(-len(names) // LOOKED_FOR) or 1
    for some in (names[::step], names):  # all only where those looked for are nowhere
        held = [sum(is_file(folder / name) for name in some) for folder in folders]
        most = max(held, default=0)
        if most or not names:
            return folders[held.index(most)]
    looked = f"{shown(names[0])} looked for in {', '.join(map(str, dict.fromkeys(places)))}"
    raise DataError(f"images of {split} must be in a folder, got none ({looked})")


def stated_sizes(images: Sequence[Tree]) -> Int64:
    """Heights and widths (n, 2) that the annotations state, 0 where they do not."""
    sides = [(image["height"], image["width"]) for image in images]
    return np.array(sides, np.int64).reshape(-1, 2)


def entries_by_image(tree: Tree) -> tuple[list[Tree], Int64, Float64]:
    """The annotations in the order of their images, the positions (G,) of these, and the boxes (G, 4)."""
    position = {image["id"]: place for place, image in enumerate(tree["images"])}
    entries = sorted(tree["annotations"], key=lambda entry: position[entry["image_id"]])
    image = np.array([position[entry["image_id"]] for entry in entries], np.int64)
    sides = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    return entries, image, np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)


def _objects(files: CocoSplit, classes: ClassList) -> ObjectTable:
    labels = _labels_by_category(files.tree, classes, files.source)
    entries, image, boxes = entries_by_image(files.tree)
    return object_table(
        image=image,
        boxes=boxes,
        labels=np.array([labels[entry["category_id"]] for entry in entries], np.int64),
        difficult=np.zeros(len(entries), np.bool_),
        crowd=np.array([entry.get("iscrowd", 0) == 1 for entry in entries], np.bool_),
        areas=np.array([area_of(entry) for entry in entries], np.float64),
    )


def _labels_by_category(tree: Tree, classes: ClassList, source: Path) -> dict[int, int]:
    """The label of each category that has annotations; DataError names one that `classes` lacks."""
    names = sorted_categories(tree)
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
