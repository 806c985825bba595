"""YOLO's text labels, as darknet, Ultralytics, Roboflow, CVAT, Label Studio and labelImg write them.

`yolo_tree` says where splits and labels are looked for, `yolo_facts` where the names of classes, `yolo_labels`
what a line states. An image whose label file is empty or missing has no objects.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList, class_list
from detector.data.folders import DRAWN, is_folder, require_folder
from detector.data.formats.data_format import Format, FoundData, RawSplit
from detector.data.formats.split_roles import further_splits, role_of, splits_by_role
from detector.data.formats.stated_corners import corners_error
from detector.data.formats.yolo_facts import YoloFacts, read_facts
from detector.data.formats.yolo_labels import LabelTable, read_labels
from detector.data.formats.yolo_tree import (
    EVERY_IMAGE,
    YoloImages,
    find_images,
    label_files,
    label_pairs,
    orphans,
    without_pictures,
)
from detector.data.pairs import Pairs
from detector.errors import DataError
from detector.files import read_text
from detector.text import parse_float

RIVALS = "images have others of their name, which differ in suffix; the first counts"
UNLABELLED = "images have no label file and count as images without objects"
MASKS = "pictures in folders of masks are called as an image and have no label file: they are no images"
ORPHANS = "label files have no image"
LOOKED_INTO = 50  # label files, to tell whether they are YOLO's
NUMBERED = re.compile("class [0-9]+")  # what classes without a name are called
FEWEST_WORDS = 5  # of a line


def read_yolo(settings: DataSettings, split: str, classes: ClassList | None) -> RawSplit:
    """The images of `split` under `settings.root` with their objects, in the order of folders and lists."""
    root = require_folder(settings.root, "data.root")
    facts = read_facts(root)
    pairs = label_pairs(root)
    found = without_pictures(find_images(root, facts, split, settings.outside_root == "allow"), pairs)
    labels = label_files(pairs, found.paths)
    table = read_labels(labels, facts.beside)
    names = facts.names or _given_names(settings, classes)
    kept, errors = _of_known_classes(table, labels, names, facts)
    return RawSplit(
        name=split,
        note=f"{split}: YOLO labels, images of {found.where}",
        ids=np.array(found.ids, np.str_),
        paths=np.array(found.paths, np.str_),
        sources=np.array([label or image for label, image in zip(labels, found.paths, strict=True)], np.str_),
        stated=np.ones((len(labels), 2), np.int64),
        image=kept.image,
        names=np.array([called(number, names) for number in kept.numbers.tolist()], np.str_),
        boxes=kept.boxes,
        difficult=np.zeros(len(kept.image), np.bool_),
        crowd=np.zeros(len(kept.image), np.bool_),
        relative=True,
        missing=tuple(found.missing),
        errors=(*kept.errors.tolist(), *errors, *_corners_errors(kept, labels)),
        remarks=_remarks(found, pairs, labels, split),
    )


def _corners_errors(table: LabelTable, labels: Sequence[str]) -> list[str]:
    boxes = table.boxes
    sides, beyond = boxes[:, 2:] - boxes[:, :2], np.any((boxes < 0) | (boxes > 1), axis=1)
    where = labels[table.image[0]] if len(boxes) else ""
    middles = boxes[:, :2] + sides / 2
    error = corners_error(middles, sides, np.ones_like(sides), beyond, "centre and sides", where)
    return [error] if error else []


def _given_names(settings: DataSettings, classes: ClassList | None) -> tuple[str, ...] | None:
    """The names by number that the settings give; None without them, or where these are numbers themselves."""
    if settings.classes is None or classes is None or all(map(NUMBERED.fullmatch, classes.names)):
        return None
    return classes.names


def called(number: int, names: Sequence[str] | None) -> str:
    """What the class of a number is called."""
    return f"class {number}" if names is None else names[number]


def _remarks(found: YoloImages, pairs: Pairs, labels: Sequence[str], split: str) -> dict[str, Sequence[str]]:
    bare = [image for image, label in zip(found.paths, labels, strict=True) if not label]
    lost = orphans(pairs, labels) if found.folders and split != EVERY_IMAGE else []
    return {RIVALS: found.rivals, UNLABELLED: bare, MASKS: found.masks, DRAWN: found.drawn, ORPHANS: lost}


def _of_known_classes(
    table: LabelTable, labels: Sequence[str], names: Sequence[str] | None, facts: YoloFacts
) -> tuple[LabelTable, list[str]]:
    """The objects of the files all of whose classes have a name, and a message about each other file."""
    unknown = np.flatnonzero(table.numbers >= len(names)) if names is not None else np.empty(0, np.int64)
    first = dict(zip(table.image[unknown][::-1].tolist(), unknown[::-1].tolist(), strict=True))
    wanted = f"one of the {len(names or ())} of {facts.source or 'data.classes'}, 0 to {len(names or ()) - 1}"
    errors = [
        f"class must be {wanted}, got {table.numbers[row]} ({labels[image]}:{table.lines[row]})"
        for image, row in sorted(first.items())
    ]
    kept = ~np.isin(table.image, list(first))
    rows = (table.image[kept], table.numbers[kept], table.boxes[kept], table.lines[kept])
    return LabelTable(*rows, table.errors), errors


def named_classes(settings: DataSettings) -> ClassList | None:
    """The classes that the folder's own files name, in the order of their numbers; None where none does."""
    facts = read_facts(require_folder(settings.root, "data.root"))
    return None if facts.names is None else class_list(facts.names, (), str(facts.source))


def find_yolo(root: Path) -> FoundData | None:
    """YOLO's labels in `root`, and their splits; None where there are none."""
    pairs = label_pairs(root)
    labels = pairs.annotations()
    if not labels:
        return None
    facts = read_facts(root)
    if facts.source is None and not _look_right(sorted(labels)):
        return None
    named = {split: split for split in facts.splits} or _folders(root) or _lists(root)
    splits = {
        role: split
        for role, split in splits_by_role(named.items()).items()
        if _is_labelled(root, facts, pairs, split, required=role == "train" and split in facts.splits)
    }
    source = f", {facts.source.name}" if facts.source else ""
    return FoundData(
        root, f"YOLO text labels{source}", labels, splits, EVERY_IMAGE, further=further_splits(named.items())
    )


def _folders(root: Path) -> dict[str, str]:
    """The folders of `root`, or of images/ in it, that are called as splits are, by their names."""
    images = next((root / name for name in ("images",) if is_folder(root / name)), None)
    places = [place for place in (images, root) if place is not None]
    for place in places:
        named = {
            path.name: path.name for path in sorted(place.iterdir()) if is_folder(path) and role_of(path.name)
        }
        if named:
            return named
    return {}


def _lists(root: Path) -> dict[str, str]:
    files = [path for path in sorted(root.iterdir()) if path.suffix == ".txt" and path.is_file()]
    return {path.name: path.stem for path in files if role_of(path.stem)}


def _is_labelled(root: Path, facts: YoloFacts, pairs: Pairs, split: str, required: bool) -> bool:
    """Whether the split is there, and an image of it has labels; DataError where one that is `required` is not."""
    try:
        return any(map(pairs.may_be_annotated, find_images(root, facts, split, False).paths))
    except DataError:
        if required:
            raise
        return False


def _look_right(labels: Sequence[str]) -> bool:
    """Whether most lines of some of the files begin with a number and have as many words as an object's."""
    step = -(-len(labels) // LOOKED_INTO)
    lines = [line.split() for label in labels[::step] for line in _lines(label)]
    right = [len(words) >= FEWEST_WORDS and parse_float(words[0]) is not None for words in lines]
    return sum(right) * 2 >= len(right)


def _lines(label: str) -> list[str]:
    try:
        return [line for line in read_text(Path(label), "label file").split("\n") if line.strip()]
    except DataError:
        return []


FORMAT = Format(
    read_yolo,
    "Text labels say nothing of the images' licence: what holds is said where they come from.",
    find=find_yolo,
    classes=named_classes,
)
