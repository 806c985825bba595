"""The files of a YOLO folder: which images a split holds, and which label file is an image's.

A split is, in this order: the path of a list file; what data.yaml or obj.data states for its name; a folder, of
images/SPLIT, SPLIT/images and SPLIT; the list SPLIT.txt; `all`, every image. Paths that were written elsewhere are
looked for below the root by their ends: exporters like to state ../train/images, or a folder of their own machine.

An image's labels have its name, in the folder that goes with the image's: `pairs` says which.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from detector.data.exchange.drawn_pictures import is_drawn
from detector.data.folders import (
    IMAGE_SUFFIXES,
    OUTSIDE_ALLOWED,
    FileIndex,
    find_list,
    is_below,
    is_file,
    is_folder,
    walk_files,
)
from detector.data.formats.yolo_facts import YoloFacts, is_names_file
from detector.data.names import FileNames, read_names
from detector.data.pairs import IMAGE_FOLDERS, Pairs, labels_of
from detector.errors import DataError
from detector.text import shown

EVERY_IMAGE = "all"
LABEL_SUFFIX = ".txt"
LABEL_SUFFIXES = (LABEL_SUFFIX,)
NO_FILES = FileIndex([], ())
MASK_FOLDERS = re.compile("masks?|segmentation(class|object)", re.IGNORECASE)  # folders, VOC's among them
LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff")  # what keeps the numbers that a mask is made of


@dataclass(frozen=True)
class YoloImages:
    """The images of a split: ids, which are paths below the root without suffix, and paths.

    `missing` are messages about lines of lists whose image is not there; `rivals` images that differ from one in
    suffix alone, and do not count; `where` says what the split was found as, `folders` that it is of folders;
    `masks` are pictures that were left out, and `drawn` those that `detect` drew.
    """

    ids: list[str]
    paths: list[str]
    missing: list[str]
    rivals: list[str]
    where: str
    folders: bool = True
    masks: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()


def find_images(root: Path, facts: YoloFacts, split: str, outside: bool) -> YoloImages:
    """The images of `split`; DataError where it cannot be found, or leads out of `root` unless that is allowed."""
    if split.endswith(".txt"):
        path = find_list(root, split, ())
        places = [] if path is None else [path]
    elif split in facts.splits:
        places = [_resolve(root, facts, word, split, outside) for word in facts.splits[split]]
    else:
        folders = [root / "images" / split, root / split / "images", root / split]
        named = [folder for folder in folders if is_folder(folder)]
        listed = root / f"{split}.txt"
        places = named[:1] or ([listed] if is_file(listed) else [root] if split == EVERY_IMAGE else [])
    if not places:
        raise DataError(
            f"split must be a list file, a folder, a split of a YAML file or {EVERY_IMAGE!r}, got {shown(split)} "
            f"(looked for {root / 'images' / split}, {root / split / 'images'}, {root / split})"
        )
    return _joined(root, places)


def label_pairs(root: Path) -> Pairs:
    """Which label file below `root` is which image's."""
    labels = FileIndex([root], LABEL_SUFFIXES).paths()
    pictures = FileIndex([root], IMAGE_SUFFIXES).paths()
    return Pairs(root, pictures, [path for path in labels if not is_names_file(os.path.basename(path))])  # noqa: PTH119


def without_pictures(images: YoloImages, pairs: Pairs) -> YoloImages:
    """The images without those that are unlabelled and masks or drawn; what a list names is an image.

    A mask lies in a folder of masks and is called as an image elsewhere.
    """
    if not images.folders:
        return images
    in_masks = [any(map(MASK_FOLDERS.fullmatch, image_id.split("/")[:-1])) for image_id in images.ids]
    rows = list(zip(images.ids, images.paths, in_masks, strict=True))
    called = {_name(image_id) for image_id, _, is_in in rows if not is_in}
    masks = {
        path
        for image_id, path, is_in in rows
        if is_in
        and _name(image_id) in called
        and path.lower().endswith(LOSSLESS)
        and not pairs.may_be_annotated(path)
    }
    drawn = {path for path in images.paths if is_drawn(Path(path)) and not pairs.may_be_annotated(path)}
    kept = [(image_id, path) for image_id, path, _ in rows if path not in masks | drawn]
    ids, paths = [image_id for image_id, _ in kept], [path for _, path in kept]
    return replace(images, ids=ids, paths=paths, masks=tuple(sorted(masks)), drawn=tuple(sorted(drawn)))


def _name(image_id: str) -> str:
    return image_id.rpartition("/")[2]


def label_files(pairs: Pairs, images: Sequence[str]) -> list[str]:
    """The label file of each of the images, empty where it has none; DataError where two could be."""
    return [(pairs.annotation(image) if pairs.knows(image) else _labels_near(image)) or "" for image in images]


def orphans(pairs: Pairs, labels: Sequence[str]) -> list[str]:
    """The label files in the folders of `labels` that are no image's, of a split of whole folders."""
    known = pairs.annotations()
    folders = sorted({os.path.dirname(label) for label in labels if label})  # noqa: PTH120
    files = [f"{folder}{os.sep}{name}" for folder in folders for name in _names_in(folder)]
    return [path for path in files if path not in known]


def resolved(root: Path, facts: YoloFacts, word: str) -> Iterator[Path]:
    """The places that a path of `facts` may mean, the likeliest first; those that are not there are left out."""
    given = PurePosixPath(word.replace("\\", "/"))
    near = list(dict.fromkeys((facts.source.parent if facts.source else root, root)))
    bases = [root / facts.base, *near] if facts.base else near
    parts = [part for part in given.parts if part not in ("/", ".", "..")]
    ends = [parts[first:] for first in range(len(parts))]
    ends = [end for end in ends if len(end) > 1 or len(parts) == 1 or end[0].lower() not in IMAGE_FOLDERS]
    below = (folder.joinpath(*end) for folder in near for end in ends)
    # as it stands, then by its end below the folder of the file that states it, then below the root
    for path in (*(base / given for base in bases), *below):
        if is_folder(path) or is_file(path):
            yield path


def _resolve(root: Path, facts: YoloFacts, word: str, split: str, outside: bool) -> Path:
    found = list(resolved(root, facts, word))
    inside = [path for path in found if outside or is_below(path, root)]
    if inside:
        return Path(os.path.normpath(inside[0]))
    where = f"{split} of {facts.source}"
    if found:
        raise DataError(f"{where} must lie in {root}, got {shown(word)} ({OUTSIDE_ALLOWED})")
    raise DataError(f"{where} must be a folder or a list file, got {shown(word)} (looked for it below {root})")


def _joined(root: Path, places: Sequence[Path]) -> YoloImages:
    """The images of folders and lists; one that is in several counts once."""
    found: dict[str, str] = {}
    missing: list[str] = []
    rivals: list[str] = []
    for place in places:
        if is_folder(place):
            for path in _images_in(place):
                _add(found, rivals, root, path)
        else:
            listed, lost = _listed(root, place)
            missing += lost
            for path in listed:
                _add(found, rivals, root, path)
    where = ", ".join(map(str, places))
    return YoloImages(list(found), list(found.values()), missing, rivals, where, all(map(is_folder, places)))


def _add(found: dict[str, str], rivals: list[str], root: Path, path: str) -> None:
    image_id = os.path.splitext(_below(root, path))[0].replace(os.sep, "/")  # noqa: PTH122
    known = found.setdefault(image_id, path)
    if known != path:
        rivals.append(f"{known} and {path}")


def _below(root: Path, path: str) -> str:
    return os.path.relpath(path, root) if is_below(Path(path), root) else path


def _images_in(folder: Path) -> list[str]:
    files = [f"{where}{os.sep}{name}" for where, names in walk_files(folder) for name in names]
    return [path for path in files if os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES]  # noqa: PTH122


def _listed(root: Path, path: Path) -> tuple[list[str], list[str]]:
    """The images that a list names, by the ends of its paths, and messages about those that are not there."""
    pictures = FileIndex([root], IMAGE_SUFFIXES)
    lines = read_names(path, FileNames(pictures, NO_FILES))
    named = [(line, pictures.find_named(line.name) if line.image_id != line.name else None) for line in lines]
    paths = {line.number: found[1] if found else pictures.find(line.image_id) for line, found in named}
    known: dict[str, int] = {}
    for line in lines:
        image = paths[line.number]
        first = known.setdefault(image or line.text, line.number)
        if first != line.number:
            raise DataError(
                f"{path}:{line.number} must name another image, got {shown(line.text)} as in line {first}"
            )
    lost = [
        f"image of a list must be below {root}, got none for {shown(line.text)} ({path}:{line.number})"
        for line in lines
        if not paths[line.number]
    ]
    return [image for image in paths.values() if image], lost


def _labels_near(image: str) -> str | None:
    """The label file of an image that is not below the root, or there by another path."""
    stem = os.path.splitext(image)[0]  # noqa: PTH122
    places = [f"{place}{LABEL_SUFFIX}" for place in (labels_of(stem), stem) if place]
    return next((path for path in places if os.path.isfile(path)), None)  # noqa: PTH113


def _names_in(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.endswith(LABEL_SUFFIX)
            and not entry.name.startswith(".")
            and not is_names_file(entry.name)
        )
