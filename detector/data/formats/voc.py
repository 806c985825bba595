"""VOC-style data: XML annotations with 1-based inclusive corners, in one of three layouts.

- VOC's own: JPEGImages/, Annotations/ and ImageSets/Main/SPLIT.txt;
- images and XML files side by side in ROOT/SPLIT/;
- two folders, images/ and annotations/, in ROOT/SPLIT/, or with a folder SPLIT in one or both, or without splits.

In each a split can also be the path of a list file (an image a line, see `names`), and "all" is every annotation.
"""

import os
import re
from collections.abc import Mapping, Sequence
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
from detector.data.formats.split_roles import further_splits, role_of, splits_by_role
from detector.data.formats.xml_annotations import annotated_split
from detector.data.names import FileNames, ListLine, read_names
from detector.data.pairs import Pairs
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
ROOT = re.compile(rb"<annotation[\s>]")
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


@dataclass(frozen=True)
class VocLayout:
    """The folders of a split's images and annotations, those `whole` of all splits, and what this is called."""

    images: Path
    annotations: Path
    whole: tuple[Path, Path]
    name: str

    def has(self, split: str, image: str) -> bool:
        """Whether an annotation found belongs to `split`, by its image where only the images lie by splits."""
        by_images = self.images.name == split != self.annotations.name
        return not by_images or image.startswith(f"{self.images}{os.sep}")


@dataclass(frozen=True)
class Partners:
    """An image and its annotation, empty where there is none; `rivals` says that others differ in suffix alone."""

    image: str
    annotation: str
    rivals: str = ""


class VocFiles:
    """The images and annotations of a layout, and which of them belong together."""

    def __init__(self, layout: VocLayout, root: Path) -> None:
        self.pictures = FileIndex([layout.images], IMAGE_SUFFIXES)
        self.xml = FileIndex([layout.annotations], XML_SUFFIXES)
        self._layout = layout
        images, annotations = layout.whole
        pictures = self.pictures if images == layout.images else FileIndex([images], IMAGE_SUFFIXES)
        xml = self.xml if annotations == layout.annotations else FileIndex([annotations], XML_SUFFIXES)
        self._pairs = Pairs(root, pictures.paths(), xml.paths())

    def of_annotation(self, image_id: str) -> Partners:
        """The annotation called so below its folder, and its image."""
        annotation = self.xml.find_one(image_id) or ""
        known = self._pairs.knows_annotation(annotation)
        image = self._pairs.image(annotation) if known else self.pictures.find(image_id)
        return Partners(image or "", annotation, self._rivals(image or ""))

    def of_line(self, line: ListLine) -> Partners:
        """The image that a line of a list names, with its annotation."""
        named = self.pictures.find_named(line.name) if line.found else None
        if named and named[0] == line.image_id:
            return Partners(named[1], self._annotation(named[1], line.image_id))
        image = self.pictures.find(line.image_id) or ""
        return Partners(image, self._annotation(image, line.image_id), self._rivals(image))

    def _annotation(self, image: str, image_id: str) -> str:
        """An image's annotation, or the one called `image_id` where there is no image, or its folder is a link."""
        if not self._pairs.knows(image):
            return self.xml.find_one(image_id) or ""
        annotation = self._pairs.annotation(image)
        called = _id_below(self._layout.annotations, annotation) if annotation else None
        return (self.xml.find_one(called) if called else annotation) or ""

    def _rivals(self, image: str) -> str:
        image_id = _id_below(self._layout.images, image)
        return " and ".join(self.pictures.rivals(image_id)) if image_id else ""


def _id_below(folder: Path, path: str) -> str | None:
    """The path below `folder` without suffix; None for a file that is not there."""
    start = f"{folder}{os.sep}"
    return os.path.splitext(path[len(start) :])[0].replace(os.sep, "/") if path.startswith(start) else None  # noqa: PTH122


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
    root = require_folder(settings.root, "data.root")
    layout = _find_layout(root, split)
    files = VocFiles(layout, root)
    note = f"{split}: VOC files, {layout.name}, in {root}"
    list_file = find_list(root, split, (root / "ImageSets" / "Main", root / "ImageSets"))
    if list_file:
        names = FileNames(files.pictures, files.xml)
        lines = read_names(list_file, names, settings.outside_root == "allow")
        listed = {line.number: files.of_line(line) for line in lines}
        ids = _annotated(lines, listed, list_file)
        found = [each for each in listed.values() if each.annotation]
        bare = [_bare(line, list_file, layout.annotations) for line in lines if not listed[line.number].annotation]
    else:
        _require_folder_split(root, split, layout.name)
        each = {image_id: files.of_annotation(image_id) for image_id in files.xml.ids()}
        ids = [image_id for image_id, one in each.items() if layout.has(split, one.image)]
        found, bare = [each[image_id] for image_id in ids], []
    images = [one.image or str(layout.images / f"{i}.jpg") for i, one in zip(ids, found, strict=True)]
    annotations = [one.annotation for one in found]
    _check_one_to_one(images, annotations)
    unlisted = [] if list_file else _others(files.pictures, images)
    return FoundSplit(ids, images, annotations, note, bare, unlisted, [one.rivals for one in found if one.rivals])


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


def _annotated(lines: Sequence[ListLine], found: Mapping[int, Partners], path: Path) -> list[str]:
    """The ids of the lines whose image has an annotation; DataError where two lines are of one."""
    known: dict[str, int] = {}
    ids: list[str] = []
    for line in lines:
        annotation = found[line.number].annotation
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


def _find_layout(root: Path, split: str) -> VocLayout:
    """Where images and annotations of a split lie."""
    for base, called in ((root, ""), (root / split, f"{SIDE_BY_SIDE} as ")):
        for images, annotations in FOLDER_PAIRS:
            whole = base / images, base / annotations
            if all(map(is_folder, whole)):
                name = f"{called}{images}/ and {annotations}/"
                return _inner_layout(*whole, split) or VocLayout(*whole, whole, name)
    folder = root / split
    if is_folder(folder):
        return VocLayout(folder, folder, (root, root), SIDE_BY_SIDE)
    return VocLayout(root, root, (root, root), "all files under the root")


def _inner_layout(images: Path, annotations: Path, split: str) -> VocLayout | None:
    """The folder of `split` in either of the two, with the other whole where it has none; None where none has."""
    inner = [folder / split for folder in (images, annotations)]
    if not any(map(is_folder, inner)):
        return None
    chosen = [own if is_folder(own) else whole for own, whole in zip(inner, (images, annotations), strict=True)]
    name = f"{SIDE_BY_SIDE} as {' and '.join(f'{path.parent.name}/{split}' for path in inner)}"
    return VocLayout(chosen[0], chosen[1], (images, annotations), name)


def find_voc(root: Path) -> FoundData | None:
    """VOC's XML in `root`, and its splits; None where there is none."""
    xml = FileIndex([root], XML_SUFFIXES)
    paths = [path for image_id in xml.ids() if (path := xml.find(image_id))]
    step = -(-len(paths) // LOOKED_INTO) or 1
    if not any(_is_annotation(path) for path in paths[::step]):
        return None
    named = [*_lists(root, xml), *_folders(root, paths)]
    layout = f"VOC XML, {_find_layout(root, EVERY_IMAGE).name}"
    splits, further = splits_by_role(named), further_splits(named)
    return FoundData(root, layout, frozenset(paths), splits, EVERY_IMAGE, further=further)


def _is_annotation(path: str) -> bool:
    """Whether a file begins as VOC's XML does, be it whole or not."""
    try:
        return bool(ROOT.search(read_bytes(Path(path), "annotation")[:HEAD].replace(b"\0", b"")))  # UTF-16, too
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
