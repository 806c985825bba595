"""The content of a COCO instances JSON, checked entry by entry before anything is made of it."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detector.data.classes import class_name
from detector.data.folders import require_file_name
from detector.data.formats.stated_corners import corners_error
from detector.data.numbers import BOX, LARGEST, PIXELS, is_box, is_number, whole_pixels
from detector.errors import DataError
from detector.files import read_json
from detector.text import UNPRINTABLE, shown

COCO_ID = re.compile(r"0|-?[1-9][0-9]{0,17}")  # what a 64-bit integer can hold, whatever the digits
LARGEST_ID = 10**18 - 1
LONGEST_ID = 200  # characters
NAMED = 6  # keys that are named where one is missing
LOOKED_INTO = 1000  # annotations, to tell whether their boxes are stated as they should be
LARGEST_AREA = LARGEST**2
WHOLE_ID = "a whole number of its own, of at most 18 digits"
TEXT_ID = f"a text of its own as the first is, of 1 to {LONGEST_ID} printable characters in one line"
CocoTree = dict[str, Any]
CocoId = int | str


def read_coco_json(path: Path) -> CocoTree:
    """The instances tree in `path`, checked; DataError names the file and the first entry that is wrong.

    What is null counts as not stated. Heights and widths become whole numbers, 0 where they are not stated, and
    iscrowd 0 or 1. Names of categories lose the blanks around them, and of two that are called alike one that is
    among `headings` is left out. Ids of images are whole numbers or all text, annotations need none. `file_name`
    is a name in one line; whether it may lead outside is for those to check who open files.
    """
    tree = read_json(path, "COCO JSON")
    if not isinstance(tree, dict):
        raise DataError(f"COCO JSON must be an object, got {type(tree).__name__} ({path})")
    images = _read_ids(tree, "images", path)
    categories = _read_ids(tree, "categories", path)
    for position, entry in enumerate(tree["images"]):
        _check_image(entry, f"images[{position}]", path)
    for position, entry in enumerate(tree["categories"]):
        entry["name"] = class_name(entry.get("name"), f"categories[{position}].name", str(path))
    for position, entry in enumerate(_objects(tree, "annotations", path)):
        _check_annotation(entry, f"annotations[{position}]", images, categories, path)
    tree["categories"] = _named_apart(tree, path)
    _refuse_corners(tree, path)
    return tree


def sorted_categories(tree: CocoTree) -> dict[int, str]:
    """The names of the categories by id, in the order of the ids."""
    return dict(sorted((category["id"], category["name"]) for category in tree["categories"]))


def headings(tree: CocoTree) -> set[int]:
    """The ids of the categories that head others and nothing else.

    No annotation uses one, and another category has its name as `supercategory`: Roboflow writes such a one for
    the whole project.
    """
    used = {entry["category_id"] for entry in tree["annotations"]}
    above: dict[str, list[int]] = {}
    for entry in tree["categories"]:
        if isinstance(entry.get("supercategory"), str):
            above.setdefault(entry["supercategory"].strip(), []).append(entry["id"])
    return {
        entry["id"]
        for entry in tree["categories"]
        if entry["id"] not in used and any(other != entry["id"] for other in above.get(entry["name"], ()))
    }


def area_of(entry: Mapping[str, Any]) -> float:
    """The area that an annotation states, of its outline, or its box's."""
    area: float = entry.get("area", entry["bbox"][2] * entry["bbox"][3])
    return area


def _objects(tree: CocoTree, name: str, path: Path) -> list[CocoTree]:
    entries = tree.get(name)
    if not isinstance(entries, list):
        keys = ", ".join(shown(key) for key in [*tree][:NAMED])
        got = type(entries).__name__ if name in tree else f"nothing beside {keys or 'it'}"
        raise DataError(f"{name} must be a list of objects, got {got} ({path})")
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(f"{name}[{position}] must be an object, got {shown(entry)} ({path})")
    return entries


def _read_ids(tree: CocoTree, name: str, path: Path) -> set[CocoId]:
    """The ids of a list: whole numbers, or those of images all text, if the first is."""
    entries = _objects(tree, name, path)
    text = name == "images" and bool(entries) and isinstance(entries[0].get("id"), str)
    is_id, wanted = (_is_text, TEXT_ID) if text else (_is_whole, WHOLE_ID)
    known: set[CocoId] = set()
    for position, entry in enumerate(entries):
        number: Any = entry.get("id")
        if not is_id(number) or number in known:
            raise DataError(f"{name}[{position}].id must be {wanted}, got {shown(number)} ({path})")
        known.add(number)
    return known


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) <= LARGEST_ID


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and not UNPRINTABLE.search(value)


def _check_image(entry: CocoTree, where: str, path: Path) -> None:
    require_file_name(entry.get("file_name"), True, f"{where}.file_name", str(path))
    for side in ("height", "width"):
        pixels = whole_pixels(0 if entry.get(side) is None else entry[side])
        _require(pixels is not None, entry, side, PIXELS, where, path)
        entry[side] = pixels


def _named_apart(tree: CocoTree, path: Path) -> list[CocoTree]:
    """The categories without headings that are called as another; DataError where two others have one name."""
    heads, known = headings(tree), dict[str, int]()
    names = Counter(entry["name"] for entry in tree["categories"])
    kept = []
    for position, entry in enumerate(tree["categories"]):
        if names[entry["name"]] > 1 and entry["id"] in heads:
            continue
        first = known.setdefault(entry["name"], position)
        if first != position:
            where, name = f"categories[{position}].name", shown(entry["name"])
            raise DataError(f"{where} must differ from that of categories[{first}], got {name} in both ({path})")
        kept.append(entry)
    return kept


def _check_annotation(
    entry: CocoTree, where: str, images: set[CocoId], categories: set[CocoId], path: Path
) -> None:
    if entry.get("area") is None:
        entry.pop("area", None)
    if entry.get("iscrowd") is None or isinstance(entry["iscrowd"], bool):
        entry["iscrowd"] = int(entry.get("iscrowd") or 0)
    area = entry.get("area", 0)
    for right, name, wanted in (
        (_is_in(entry.get("image_id"), images), "image_id", "the id of an image"),
        (_is_in(entry.get("category_id"), categories), "category_id", "the id of a category"),
        (is_box(entry.get("bbox")), "bbox", BOX),
        (_is_in(entry["iscrowd"], {0, 1}), "iscrowd", "0 or 1"),
        (is_number(area, LARGEST_AREA) and area >= 0, "area", "a number of pixels from 0"),
    ):
        _require(right, entry, name, wanted, where, path)


def _refuse_corners(tree: CocoTree, path: Path) -> None:
    """Raise DataError where boxes seem to be two corners; some of many are looked at."""
    some = tree["annotations"][:: -(-len(tree["annotations"]) // LOOKED_INTO) or 1]
    size_of = {image["id"]: (image["width"], image["height"]) for image in tree["images"]}
    boxes = np.array([entry["bbox"] for entry in some], np.float64).reshape(-1, 4)
    sizes = np.array([size_of[entry["image_id"]] for entry in some], np.float64).reshape(-1, 2)
    first, sides = boxes[:, :2], boxes[:, 2:]
    beyond = np.any(first + sides > sizes, axis=1)
    error = corners_error(first, sides, sizes, beyond, "[x, y, width, height]", path)
    if error:
        raise DataError(error)


def _is_in(value: object, ids: set[CocoId]) -> bool:
    return type(value) in (int, str) and value in ids


def _require(right: bool, entry: CocoTree, name: str, wanted: str, where: str, path: Path) -> None:
    if not right:
        raise DataError(f"{where}.{name} must be {wanted}, got {shown(entry.get(name))} ({path})")
