"""VOC-style data: XML annotations with 1-based inclusive corners, in one of three layouts.

- VOC's own: JPEGImages/, Annotations/ and ImageSets/Main/SPLIT.txt;
- images and XML files side by side in ROOT/SPLIT/;
- two folders, images/ and annotations/, in ROOT/SPLIT/, or with a folder SPLIT in one or both, or without splits.

In each a split can also be the path of a list file (an image a line, see `names`), and "all" is every annotation.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.folders import (
    IMAGE_SUFFIXES,
    XML_SUFFIXES,
    FileIndex,
    class_folders,
    find_list,
    is_folder,
    require_folder,
)
from detector.data.formats.data_format import Format, FoundData, RawSplit
from detector.data.formats.split_roles import role_of, splits_by_role
from detector.data.formats.xml_annotations import annotated_split
from detector.data.names import FileNames, ListLine, read_names
from detector.errors import DataError
from detector.files import read_bytes
from detector.records import Float64
from detector.text import shown

FOLDER_PAIRS = (
    ("JPEGImages", "Annotations"),
    *(("images", name) for name in ("annotations", "Annotations", "xml", "xmls", "labels")),
    ("Images", "Annotations"),
)
EVERY_IMAGE = "all"
LOOKED_INTO = 50  # XML files, to tell whether they are VOC's
HEAD = 1000  # bytes of one, in which its root stands
NO_FILES = FileIndex([], ())
SIDE_BY_SIDE = "side by side"
UNLISTED = "images have no annotation and are not in the split"
RIVALS = "images have others of their name, which differ in suffix; the first counts"


@dataclass(frozen=True)
class FoundSplit:
    """The files of a split: ids, and in their order the paths of images and annotations.

    `bare` are messages about the images of its list that have no annotation, `unlisted` the images of a folder
    that have none, `rivals` those that have others of their name beside them, which differ in suffix alone.
    """

    ids: list[str]
    images: list[str]
    annotations: list[str]
    note: str
    bare: list[str]
    unlisted: list[str]
    rivals: list[str]


def read_voc(settings: DataSettings, split: str, classes: ClassList | None) -> RawSplit:
    """The images of `split` under `settings.root` with their objects, in the order of the list or of the names."""
    found = find_split(settings, split)
    raw = annotated_split(split, found.note, found.ids, found.images, found.annotations, continuous)
    remarks = {UNLISTED: found.unlisted, RIVALS: found.rivals}
    return replace(raw, missing=tuple(found.bare), remarks=remarks)


def continuous(corners: Float64) -> Float64:
    """1-based inclusive pixels as continuous boxes (G, 4)."""
    return corners - np.array([1.0, 1.0, 0.0, 0.0])


def find_split(settings: DataSettings, split: str) -> FoundSplit:
    """The files of `split`; the images that its list has without an annotation are not among them."""
    root = settings.root
    require_folder(root, "data.root")
    images, annotations, layout = _find_folders(root, split)
    pictures, xml = FileIndex([images], IMAGE_SUFFIXES), FileIndex([annotations], XML_SUFFIXES)
    note = f"{split}: VOC files, {layout}, in {root}"
    list_file = find_list(root, split, (root / "ImageSets" / "Main", root / "ImageSets"))
    lines: list[ListLine] = []
    if list_file:
        lines = read_names(list_file, FileNames(pictures, xml), settings.outside_root == "allow")
        ids = _annotated(lines, xml, list_file)
    else:
        _require_folder_split(root, split, layout)
        ids = [i for i in xml.ids() if pictures.find(i)] if images.name == split != annotations.name else xml.ids()
    chosen = _named_pictures(lines, pictures)
    paths = [chosen.get(i) or pictures.find(i) or str(images / f"{i}.jpg") for i in ids]
    sources = [str(xml.find_one(i)) for i in ids]
    _check_one_to_one(paths, sources)
    unlisted = [] if list_file else _others(pictures, paths)
    bare = [_bare(line, list_file, annotations) for line in lines if not xml.find(line.image_id)]
    rivals = [" and ".join(found) for i in ids if i not in chosen and (found := pictures.rivals(i))]
    return FoundSplit(ids, paths, sources, note, bare, unlisted, rivals)


def _require_folder_split(root: Path, split: str, layout: str) -> None:
    if split != EVERY_IMAGE and not layout.startswith(SIDE_BY_SIDE):
        lists = root / "ImageSets" / "Main" / f"{split}.txt"
        raise DataError(
            f"split must be a list file, a folder or {EVERY_IMAGE!r}, got {shown(split)} "
            f"(looked for {lists}, {root / split}, {split})"
        )


def _others(pictures: FileIndex, paths: Sequence[str]) -> list[str]:
    """The images that are not among `paths`."""
    known = set(paths)
    return [path for path in map(pictures.find, pictures.ids()) if path and path not in known]


def _named_pictures(lines: Sequence[ListLine], pictures: FileIndex) -> dict[str, str]:
    """The paths of the images that are listed with their suffix, by id."""
    named = ((line.image_id, pictures.find_named(line.name)) for line in lines if line.found)
    return {image_id: found[1] for image_id, found in named if found and found[0] == image_id}


def _annotated(lines: Sequence[ListLine], xml: FileIndex, path: Path) -> list[str]:
    """The ids of the lines whose image has an annotation; DataError where two lines are of one."""
    known: dict[str, int] = {}
    ids: list[str] = []
    for line in lines:
        annotation = xml.find(line.image_id)
        first = known.setdefault(annotation or line.image_id, line.number)
        if first != line.number:
            raise DataError(
                f"{path}:{line.number} must name another image, got {shown(line.image_id)} as in line {first}"
            )
        if annotation:
            ids.append(line.image_id)
    return ids


def _bare(line: ListLine, path: Path | None, folder: Path) -> str:
    name = shown(line.image_id if line.found else line.text)
    return (
        f"annotation must be a readable XML file, got none for {name} ({path}:{line.number}; looked in {folder})"
    )


def _check_one_to_one(images: Sequence[str], annotations: Sequence[str]) -> None:
    known: dict[str, str] = {}
    for image, annotation in zip(images, annotations, strict=True):
        first = known.setdefault(image, annotation)
        if first != annotation:
            raise DataError(f"image must have one annotation, got {first} and {annotation} ({image})")


def _find_folders(root: Path, split: str) -> tuple[Path, Path, str]:
    """The folders of images and of annotations, and the layout's name."""
    for base in (root, root / split):
        for images, annotations in FOLDER_PAIRS:
            if is_folder(base / images) and is_folder(base / annotations):
                inner = _inner_folders(base / images, base / annotations, split)
                return inner or (base / images, base / annotations, f"{images}/ and {annotations}/")
    folder = root / split
    if is_folder(folder):
        return folder, folder, SIDE_BY_SIDE
    return root, root, "all files under the root"


def _inner_folders(images: Path, annotations: Path, split: str) -> tuple[Path, Path, str] | None:
    """The folder of `split` in either of the two, with the other whole where it has none; None where none has."""
    inner = [folder / split for folder in (images, annotations)]
    if not any(map(is_folder, inner)):
        return None
    chosen = [own if is_folder(own) else whole for own, whole in zip(inner, (images, annotations), strict=True)]
    return (
        chosen[0],
        chosen[1],
        f"{SIDE_BY_SIDE} as {' and '.join(f'{path.parent.name}/{split}' for path in inner)}",
    )


def find_voc(root: Path) -> FoundData | None:
    """VOC's XML in `root`, and its splits; None where there is none."""
    xml = FileIndex([root], XML_SUFFIXES)
    paths = [path for image_id in xml.ids() if (path := xml.find(image_id))]
    step = -(-len(paths) // LOOKED_INTO) or 1
    if not any(_is_annotation(path) for path in paths[::step]):
        return None
    named = [*_lists(root, xml), *_folders(root, paths)]
    splits = splits_by_role(named)
    return FoundData(
        root, f"VOC XML, {_find_folders(root, EVERY_IMAGE)[2]}", frozenset(paths), splits, EVERY_IMAGE
    )


def _is_annotation(path: str) -> bool:
    """Whether a file begins as VOC's XML does, be it whole or not."""
    try:
        return b"<annotation" in read_bytes(Path(path), "annotation")[:HEAD]
    except DataError:
        return False


def _lists(root: Path, xml: FileIndex) -> list[tuple[str, str]]:
    """The lists of splits that name an image with an annotation: what the reader calls them, and their names."""
    found = []
    for folder in (root / "ImageSets" / "Main", root / "ImageSets", root):
        names = class_folders(folder)[1] if is_folder(folder) else []
        for path in (folder / name for name in names if name.endswith(".txt") and role_of(name[: -len(".txt")])):
            if any(xml.find(line.image_id) for line in read_names(path, FileNames(NO_FILES, xml))):
                found.append((path.name if folder == root else path.stem, path.stem))
    return found


def _folders(root: Path, annotations: Sequence[str]) -> list[tuple[str, str]]:
    """The folders, called as splits are, that hold annotations, or whose images have some elsewhere."""
    pairs = [(root / images, root / xml) for images, xml in FOLDER_PAIRS]
    pair = next((pair for pair in pairs if all(map(is_folder, pair))), None)
    found = []
    for place in pair or (root,):
        for name in class_folders(place)[0]:
            if role_of(name) and (pair or any(path.startswith(f"{place / name}{os.sep}") for path in annotations)):
                found.append((name, name))
    return list(dict.fromkeys(found))


FORMAT = Format(
    read_voc,
    "If they are PASCAL VOC's own images: these come from Flickr, whose terms of use hold for them.",
    find=find_voc,
)
