"""The content of a COCO instances JSON, checked entry by entry before anything is made of it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detector.data.classes import class_name
from detector.data.folders import require_file_name
from detector.data.numbers import BOX, LARGEST, PIXELS, is_box, is_number, whole_pixels
from detector.errors import DataError
from detector.files import read_json
from detector.text import shown

COCO_ID = re.compile(r"0|-?[1-9][0-9]{0,17}")  # what a 64-bit integer can hold, whatever the digits
LARGEST_ID = 10**18 - 1
LARGEST_AREA = LARGEST**2
CocoTree = dict[str, Any]


def read_coco_json(path: Path) -> CocoTree:
    """The instances tree in `path`, checked; DataError names the file and the first entry that is wrong.

    Heights and widths become whole numbers, names of categories lose the blanks around them. `file_name` is a
    name in one line; whether it may lead outside is for those to check who open files.
    """
    tree = read_json(path, "COCO JSON")
    if not isinstance(tree, dict):
        raise DataError(f"COCO JSON must be an object, got {type(tree).__name__} ({path})")
    images = _read_ids(tree, "images", path)
    categories = _read_ids(tree, "categories", path)
    for position, entry in enumerate(tree["images"]):
        _check_image(entry, f"images[{position}]", path)
    _check_names(tree["categories"], path)
    _read_ids(tree, "annotations", path)
    for position, entry in enumerate(tree["annotations"]):
        _check_annotation(entry, f"annotations[{position}]", images, categories, path)
    return tree


def sorted_categories(tree: CocoTree) -> dict[int, str]:
    """The names of the categories by id, in the order of the ids."""
    return dict(sorted((category["id"], category["name"]) for category in tree["categories"]))


def area_of(entry: Mapping[str, Any]) -> float:
    """The area that an annotation states, of its outline, or its box's."""
    area: float = entry.get("area", entry["bbox"][2] * entry["bbox"][3])
    return area


def _read_ids(tree: CocoTree, name: str, path: Path) -> set[int]:
    entries = tree.get(name)
    if not isinstance(entries, list):
        got = type(entries).__name__ if name in tree else "nothing"
        raise DataError(f"{name} must be a list of objects, got {got} ({path})")
    known: set[int] = set()
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(f"{name}[{position}] must be an object, got {shown(entry)} ({path})")
        number = entry.get("id")
        if type(number) is not int or abs(number) > LARGEST_ID or number in known:
            wanted = "a whole number of its own, of at most 18 digits"
            raise DataError(f"{name}[{position}].id must be {wanted}, got {shown(number)} ({path})")
        known.add(number)
    return known


def _check_image(entry: CocoTree, where: str, path: Path) -> None:
    require_file_name(entry.get("file_name"), True, f"{where}.file_name", str(path))
    for side in ("height", "width"):
        pixels = whole_pixels(entry.get(side, 0))
        _require(pixels is not None, entry, side, PIXELS, where, path)
        entry[side] = pixels


def _check_names(categories: list[CocoTree], path: Path) -> None:
    known: dict[str, int] = {}
    for position, entry in enumerate(categories):
        where = f"categories[{position}].name"
        entry["name"] = class_name(entry.get("name"), where, str(path))
        first = known.setdefault(entry["name"], position)
        if first != position:
            name = shown(entry["name"])
            raise DataError(f"{where} must differ from that of categories[{first}], got {name} in both ({path})")


def _check_annotation(entry: CocoTree, where: str, images: set[int], categories: set[int], path: Path) -> None:
    area = entry.get("area", 0)
    for right, name, wanted in (
        (_is_in(entry.get("image_id"), images), "image_id", "the id of an image"),
        (_is_in(entry.get("category_id"), categories), "category_id", "the id of a category"),
        (is_box(entry.get("bbox")), "bbox", BOX),
        (_is_in(entry.get("iscrowd", 0), {0, 1}), "iscrowd", "0 or 1"),
        (is_number(area, LARGEST_AREA) and area >= 0, "area", "a number of pixels from 0"),
    ):
        _require(right, entry, name, wanted, where, path)


def _is_in(value: object, ids: set[int]) -> bool:
    return type(value) is int and value in ids


def _require(right: bool, entry: CocoTree, name: str, wanted: str, where: str, path: Path) -> None:
    if not right:
        raise DataError(f"{where}.{name} must be {wanted}, got {shown(entry.get(name))} ({path})")
