"""VOC-style data: XML annotations with 1-based inclusive corners, in one of three layouts.

- VOC's own: JPEGImages/, Annotations/ and ImageSets/Main/SPLIT.txt;
- images and XML files side by side in ROOT/SPLIT/;
- two folders, images/ and annotations/, without splits.

In each a split can also be the path of a list file (image ids, one a line), and "all" is every annotation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.config import DataSettings
from detector.data.annotations import read_annotations
from detector.data.assembly import objects_of, settle
from detector.data.classes import ClassList
from detector.data.dataset import Dataset, all_complete
from detector.data.folders import IMAGE_SUFFIXES, XML_SUFFIXES, FileIndex, find_list, require_folder
from detector.data.lists import read_lines
from detector.errors import DataError
from detector.records import Float64

FOLDER_PAIRS = (("JPEGImages", "Annotations"), ("images", "annotations"), ("images", "Annotations"))
EVERY_IMAGE = "all"


@dataclass(frozen=True)
class FoundSplit:
    """The files of a split: ids, and in their order the paths of images and annotations."""

    ids: list[str]
    images: list[str]
    annotations: list[str]
    note: str


def read_voc(settings: DataSettings, split: str, classes: ClassList) -> Dataset:
    """The images of `split` under `settings.root` with their objects, in the order of the list or of the names."""
    found = find_split(settings.root, split, settings.bad_images == "skip")
    table = read_annotations(found.annotations)
    count = len(found.ids)
    dataset = Dataset(
        name=Path(split).stem,
        classes=classes,
        image_ids=np.array(found.ids, np.str_),
        paths=np.array(found.images, np.str_),
        sizes=table.sizes,
        objects=objects_of(table, continuous(table.corners), found.annotations, classes),
        complete=all_complete(count, classes),
        indices=np.arange(1, count + 1),
        blacklist=np.empty((0, 2), np.int64),
        notes=(found.note,),
    )
    return settle(dataset, found.annotations, settings)


def voc_class_names(settings: DataSettings, splits: Sequence[str]) -> tuple[str, ...]:
    """The names of the objects of all `splits`, sorted."""
    names: set[str] = set()
    for split in splits:
        found = find_split(settings.root, split, settings.bad_images == "skip")
        names.update(np.unique(read_annotations(found.annotations).names).tolist())
    return tuple(sorted(names))


def continuous(corners: Float64) -> Float64:
    """1-based inclusive pixels as continuous boxes (G, 4)."""
    return corners - np.array([1.0, 1.0, 0.0, 0.0])


def find_split(root: Path, split: str, skip_bare: bool) -> FoundSplit:
    """The split's files; an image listed without an annotation is left out, or refused unless `skip_bare`."""
    require_folder(root, "data.root")
    images, annotations, layout = _find_folders(root, split)
    list_file = find_list(root, split, (root / "ImageSets" / "Main", root / "ImageSets"))
    xml = FileIndex([annotations], XML_SUFFIXES)
    pictures = FileIndex([images], IMAGE_SUFFIXES)
    if list_file:
        listed = _read_ids(list_file)
    elif split == EVERY_IMAGE or layout == "side by side":
        listed = xml.ids()
    else:
        lists = root / "ImageSets" / "Main" / f"{split}.txt"
        raise DataError(
            f"split must be a list file, a folder or {EVERY_IMAGE!r}, got {split!r} "
            f"(looked for {lists}, {root / split}, {split})"
        )
    ids = [image_id for image_id in listed if xml.find(image_id)]
    bare = [image_id for image_id in listed if not xml.find(image_id)]
    if bare and not skip_bare:
        raise DataError(f"annotation must be a readable XML file, got none for {bare[0]} ({annotations})")
    note = f"{split}: VOC files, {layout}, in {root}"
    if bare:
        note += f"; {len(bare)} images without annotation were left out"
    if not list_file and len(pictures) > len(ids):
        note += f"; {len(pictures) - len(ids)} images have no annotation and are not in the split"
    return FoundSplit(
        ids=ids,
        images=[pictures.find(image_id) or str(images / f"{image_id}.jpg") for image_id in ids],
        annotations=[str(xml.find(image_id)) for image_id in ids],
        note=note,
    )


def _find_folders(root: Path, split: str) -> tuple[Path, Path, str]:
    """The folders of images and of annotations, and the layout's name."""
    for base in (root, root / split):
        for images, annotations in FOLDER_PAIRS:
            if (base / images).is_dir() and (base / annotations).is_dir():
                return base / images, base / annotations, f"{images}/ and {annotations}/"
    folder = root / split
    if folder.is_dir():
        return folder, folder, "side by side"
    return root, root, "side by side under the root"


def _read_ids(path: Path) -> list[str]:
    """The first word of each line, less a suffix; the second is the flag of VOC's lists by class."""
    lines: dict[str, int] = {}
    for number, words in read_lines(path):
        stem, dot, suffix = words[0].rpartition(".")
        known = dot and f".{suffix.lower()}" in (*IMAGE_SUFFIXES, *XML_SUFFIXES)
        image_id = stem if known else words[0]
        if image_id in lines:
            raise DataError(
                f"{path}:{number} must name another image, got {image_id} as in line {lines[image_id]}"
            )
        lines[image_id] = number
    return list(lines)
