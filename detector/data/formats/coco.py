"""COCO's JSON of instances.

Boxes are [x, y, width, height] in continuous pixels. Labels 1..C follow the rising category ids, which
`ClassList.category_ids` keeps for writing.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList, class_list
from detector.data.folders import (
    find_list,
    is_file,
    is_no_folder,
    require_file_name,
    require_folder,
    walk_files,
)
from detector.data.formats.coco_places import INSTANCES, ImageSearch, spelled
from detector.data.formats.coco_tree import CocoTree, area_of, headings, read_coco_json, sorted_categories
from detector.data.formats.data_format import Format, FoundData, RawSplit
from detector.data.formats.split_roles import further_splits, role_of, splits_by_role
from detector.data.names import KnownIds, read_names
from detector.errors import DataError
from detector.records import Float64, Int64
from detector.text import shown

BESIDE_IMAGES = "_annotations.coco.json"  # Roboflow's name for the JSON in the folder of a split's images
LIST_SUFFIX = ".txt"
HEAD = 1 << 16  # bytes at either end of a JSON, in which one of its lists begins
LISTS = re.compile(rb'"(images|annotations)"\s*:\s*\[\s*[{\]]')  # of objects, perhaps none
CATEGORIES = re.compile(rb'"categories"\s*:\s*\[')


@dataclass(frozen=True)
class CocoSplit:
    """A split's JSON, its checked content, and of each image the path and where it stands, for messages.

    `moved` says which images lie elsewhere than they are said to.
    """

    source: Path
    tree: CocoTree
    folder: Path
    paths: list[str]
    origins: list[str]
    moved: list[str]


def read_coco(settings: DataSettings, split: str, classes: ClassList | None) -> RawSplit:
    """The images of the JSON that `find_coco_json` finds, in its order.

    Images without annotations are kept. The ids of images are the JSON's as text.
    """
    files = find_split(settings, split)
    images = files.tree["images"]
    names = sorted_categories(files.tree)
    entries, image, boxes = entries_by_image(files.tree)
    return RawSplit(
        name=split,
        note=f"{split}: COCO JSON {files.source}, images in {files.folder}",
        ids=np.array([str(image["id"]) for image in images], np.str_),
        paths=np.array(files.paths, np.str_),
        sources=np.array(files.origins, np.str_),
        stated=np.array([(image["height"], image["width"]) for image in images], np.int64).reshape(-1, 2),
        image=image,
        names=np.array([names[entry["category_id"]] for entry in entries], np.str_),
        boxes=boxes,
        difficult=np.zeros(len(entries), np.bool_),
        crowd=np.array([entry.get("iscrowd", 0) == 1 for entry in entries], np.bool_),
        areas=np.array([area_of(entry) for entry in entries], np.float64),
        categories={name: number for number, name in names.items()},
        listed=np.array([image["file_name"] for image in images], np.str_),
        text_ids=any(isinstance(image["id"], str) for image in images),
        remarks=_remarks(files, classes),
    )


def find_split(settings: DataSettings, split: str) -> CocoSplit:
    """The files of `split`; DataError names an image that is listed twice, or lies where it may not."""
    source = find_coco_json(settings.root, split)
    tree = read_coco_json(source)
    names = [image["file_name"] for image in tree["images"]]
    own_split = str(source) if split.endswith(LIST_SUFFIX) else split
    search = ImageSearch(settings.root, own_split, source, settings.outside_root == "allow")
    places = search.find(names)
    _require_own_files(names, places.paths, source)
    path_of = dict(zip(names, places.paths, strict=True))
    if split.endswith(LIST_SUFFIX):
        tree = _listed_images(tree, _required_list(settings.root, split), source)
        names = [image["file_name"] for image in tree["images"]]
    paths = [_path_inside(path_of[name], name, position, source) for position, name in enumerate(names)]
    moved = [f"{name} is {places.moved[name]}" for name in names if name in places.moved]
    return CocoSplit(source, tree, places.folder, paths, [f"{source}, image {name}" for name in names], moved)


def find_coco_json(root: Path, split: str) -> Path:
    """The instances file of `split`; `split` may also be the path of one.

    It is ROOT/annotations/instances_SPLIT.json, ROOT/instances_SPLIT.json or ROOT/SPLIT/_annotations.coco.json; of
    a list of images, whose name ends in .txt, the COCO JSON below ROOT that has them.
    """
    require_folder(root, "data.root")
    if split.endswith(LIST_SUFFIX):
        return _json_of_list(root, split)
    name = f"instances_{split}.json"
    paths = [root / "annotations" / name, root / name, root / split / BESIDE_IMAGES]
    if split.endswith(".json"):
        paths = [root / split, Path(split)]
    for path in paths:
        if is_no_folder(path):
            return path
    looked = f"{', '.join(map(str, paths[:-1]))} and {paths[-1]}"
    raise DataError(f"split must have a COCO JSON file, got {shown(split)} (looked for {looked})")


def categories_of_training(settings: DataSettings) -> ClassList:
    """The categories in the order of their ids; all training splits must have the same.

    Those that no training split uses, and that only head others, are no classes.
    """
    files = [find_coco_json(settings.root, split) for split in settings.train]
    trees = [read_coco_json(file) for file in dict.fromkeys(files)]
    categories = sorted_categories(trees[0])
    for file, tree in zip(dict.fromkeys(files), trees, strict=True):
        if sorted_categories(tree) != categories:
            raise DataError(f"categories must be those of {files[0]}, got others in {file}")
    heads = set.intersection(*map(headings, trees))
    names = [name for number, name in categories.items() if number not in heads]
    if not names:
        raise DataError(f"categories must be at least one class, got none ({files[0]})")
    return class_list(names, (), str(files[0]))


def _listed_images(tree: CocoTree, path: Path, source: Path) -> CocoTree:
    """The part of `tree` that is of the images in a list, in its order; DataError names one that is not there."""
    by_name = {image["file_name"]: image for image in tree["images"]}
    chosen: dict[str, CocoTree] = {}
    for line in read_names(path, KnownIds(frozenset(by_name))):
        where = f"{path}:{line.number}"
        if not line.found:
            raise DataError(f"{where} must name an image of {source}, got {shown(line.text)}")
        if line.image_id in chosen:
            raise DataError(f"{where} must name another image than the lines before, got {shown(line.text)}")
        chosen[line.image_id] = by_name[line.image_id]
    ids = {image["id"] for image in chosen.values()}
    entries = [entry for entry in tree["annotations"] if entry["image_id"] in ids]
    return {**tree, "images": list(chosen.values()), "annotations": entries}


def _required_list(root: Path, split: str) -> Path:
    path = find_list(root, split, ())
    if path is None:
        raise DataError(f"split must be a list of images, got no such file (looked for {root / split}, {split})")
    return path


def _json_of_list(root: Path, split: str) -> Path:
    """The JSON below `root` that has the images of a list: the only one, or the first that has them all."""
    path, files = _required_list(root, split), coco_files(root)
    if len(files) == 1:
        return files[0]
    for file in files:
        names = frozenset(image["file_name"] for image in read_coco_json(file)["images"])
        if all(line.found for line in read_names(path, KnownIds(names))):
            return file
    got = f"{len(files)} that have not all of them" if files else "none"
    raise DataError(f"images of a list must be those of a COCO JSON below {root}, got {got} ({path})")


def coco_files(root: Path) -> list[Path]:
    """The files at and below `root` that begin as COCO's JSON of instances does, by name; be they whole or not.

    Where some are called instances_* the others, of captions or keypoints, are left out.
    """
    named = (Path(where) / name for where, names in walk_files(root) for name in names)
    jsons = (path for path in named if path.suffix.lower() == ".json")
    files = [path for path in jsons if is_file(path) and _looks_like_coco(path)]
    instances = [path for path in files if path.name.startswith(INSTANCES)]
    return sorted(instances or files)


def _looks_like_coco(path: Path) -> bool:
    """Whether it has images or annotations: categories alone are the notes that Label Studio writes for YOLO."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            file.seek(max(0, file.seek(0, os.SEEK_END) - HEAD))
            ends = head + file.read()
            if head.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] != b"{":
                return False
            if LISTS.search(ends) or not CATEGORIES.search(ends):
                return bool(LISTS.search(ends))
            file.seek(0)  # long categories may hide the other lists
            return bool(LISTS.search(file.read()))
    except OSError:
        return False


def find_coco(root: Path) -> FoundData | None:
    """COCO's JSON in `root`, and its splits; None where there is none.

    A JSON is that of the split that its name says, or its folder's.
    """
    files = coco_files(root)
    if not files:
        return None
    paths = [(_called(path.relative_to(root)), _telling_name(path)) for path in files]
    splits = splits_by_role(paths)
    whole = paths[0][0] if len(paths) == 1 else None
    named = ", ".join(str(path.relative_to(root)) for path in files)
    if not splits and whole is None:
        got = f"{paths[0][0]} and {paths[1][0]} (data.train=FILE data.test=FILE data.format=coco tell)"
        raise DataError(f"COCO JSON must be one, or be called by its split as instances_train.json is, got {got}")
    return FoundData(
        root, f"COCO JSON {named}", frozenset(map(str, files)), splits, whole, further=further_splits(paths)
    )


def _called(path: Path) -> str:
    """The split of a JSON at `path` below the root, by a name where it has one and else by the path."""
    name = path.stem.removeprefix(INSTANCES)
    if (
        path.name.startswith(INSTANCES)
        and str(path.parent) in (".", "annotations")
        and not name.endswith(LIST_SUFFIX)
    ):
        return name
    return str(path.parent) if path.name == BESIDE_IMAGES and path.parent.name else str(path)


def _telling_name(path: Path) -> str:
    return path.stem if role_of(path.stem) else path.parent.name


def _require_own_files(names: Sequence[str], paths: Sequence[str | None], source: Path) -> None:
    """DataError where two images are one file."""
    known: dict[str, int] = {}
    for position, path in enumerate(paths):
        first = position if path is None else known.setdefault(os.path.normpath(path), position)
        if first != position:
            what, got = f"images[{position}].file_name", f"{shown(names[position])} ({source})"
            raise DataError(f"{what} must be another file than images[{first}]'s, got {got}")


def _path_inside(path: str | None, name: str, position: int, source: Path) -> str:
    """`path`; DataError for an image without one, whose name leads outside."""
    if path is None:
        require_file_name(spelled(name), False, f"images[{position}].file_name", str(source))
    return str(path)


def _remarks(files: CocoSplit, classes: ClassList | None) -> dict[str, list[str]]:
    """What is odd in a JSON, and its cases."""
    heads = headings(files.tree) if classes else set()
    names = [entry["name"] for entry in files.tree["categories"] if entry["id"] in heads]
    return {
        "images lie elsewhere than their file_name says, and were found by its end": files.moved,
        "categories only head others and are no class": [
            f"{name} in {files.source}" for name in names if classes and classes.label(name) is None
        ],
    }


def entries_by_image(tree: CocoTree) -> tuple[list[CocoTree], Int64, Float64]:
    """The annotations in the order of their images, the positions (G,) of these, and the boxes (G, 4)."""
    position = {image["id"]: place for place, image in enumerate(tree["images"])}
    entries = sorted(tree["annotations"], key=lambda entry: position[entry["image_id"]])
    image = np.array([position[entry["image_id"]] for entry in entries], np.int64)
    sides = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    return entries, image, np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)


FORMAT = Format(
    read_coco,
    "If they are COCO's own: the annotations are under CC BY 4.0, the images under Flickr's terms of use.",
    find=find_coco,
    protocol="coco",
    classes=categories_of_training,
)
