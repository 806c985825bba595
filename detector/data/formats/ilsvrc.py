"""ILSVRC-DET in the two layouts that are in the wild, with 0-based inclusive corners in its XML.

- 2015 and later: Data/DET/SPLIT, Annotations/DET/SPLIT, ImageSets/DET/{train_X,val,test}.txt;
- 2014: ILSVRC2014_DET_train*, ILSVRC2013_DET_{train_extra*,val,test}, ILSVRC201{3,4}_DET_bbox_{train,val}, and
  the development kit's data/det_lists/{train_pos_X,train_part_X,train_neg_X,val,test}.txt.

Split "train" is the union of the lists of all classes X, sorted; any other split is SPLIT.txt, or the path of a
list file, whose images are looked for in val, then in train. What an image of train is complete for is said by
the lists of the classes, whichever split it is in.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList, ilsvrc_det_classes
from detector.data.dataset import all_complete
from detector.data.folders import (
    IMAGE_SUFFIXES,
    XML_SUFFIXES,
    FileIndex,
    find_list,
    is_file,
    is_folder,
    require_folder,
)
from detector.data.formats.assembly import label_objects
from detector.data.formats.data_format import Format, FoundData, RawSplit, classes_of_names
from detector.data.formats.train_lists import TrainLists, completeness_of, draw_positives, read_train_lists
from detector.data.formats.xml_annotations import annotated_split
from detector.data.lists import read_blacklist as read_blacklist
from detector.data.lists import read_image_list as read_image_list
from detector.data.names import FileNames, stem_of
from detector.errors import DataError
from detector.records import FIRST_LABEL, Bool, Float64, Int64, ObjectTable, object_table
from detector.text import shown

TRAIN = "train"
UNANNOTATED = "test"
# what synthetic trees hold beside the rest, by its setting
BESIDE = {"classes": "synsets.csv", "blacklist": "det_validation_blacklist.txt"}
OFFICIAL_SPLITS = (TRAIN, "val", UNANNOTATED)
LAYOUTS = "Data/DET and ImageSets/DET (2015), or ILSVRC201x_DET_* and */data/det_lists (2014)"
DEVKITS = ("data/det_lists", "*/data/det_lists", "*devkit*/*devkit*/data/det_lists")
# The original positives and the queried negatives, which are labelled for one or a few classes only: known by
# their names where there are no lists by class.
NO_FILES = FileIndex([], ())
PARTLY_LABELLED = re.compile(r"(n\d{8}_|ILSVRC2013_train_)\d+")


@dataclass(frozen=True)
class DetLayout:
    """Where a copy of ILSVRC-DET keeps its files; the patterns take the name of a part: train, val, test, ..."""

    name: str
    root: Path
    images: str
    annotations: str
    lists: Path
    _pictures: dict[str, FileIndex] = field(default_factory=dict, init=False, repr=False, compare=False)

    def pictures(self, part: str) -> FileIndex:
        """The images of `part`; its folders are read once."""
        if part not in self._pictures:
            self._pictures[part] = FileIndex(self.image_folders(part), IMAGE_SUFFIXES)
        return self._pictures[part]

    def image_folders(self, part: str) -> list[Path]:
        """The folders that hold the images of `part`."""
        return self._folders(self.images.format(part=part))

    def annotation_folders(self, part: str) -> list[Path]:
        """The folders that hold the XML files of `part`."""
        return self._folders(self.annotations.format(part=part))

    def _folders(self, pattern: str) -> list[Path]:
        return sorted(path for path in self.root.glob(pattern) if path.is_dir())


@dataclass(frozen=True)
class PartNames:
    """The names of the images in the `parts` of a layout, looked for in one after the other."""

    layout: DetLayout
    parts: Sequence[str]

    def identify(self, candidates: Sequence[str], suffixed: bool) -> tuple[str, str] | None:
        """As `detector.data.names.Names` says; later parts are not looked at once one has the image."""
        if suffixed and not any(map(stem_of, candidates)):
            return None
        tries = (FileNames(self.layout.pictures(part), NO_FILES) for part in self.parts)
        return next((found for names in tries if (found := names.identify(candidates, suffixed))), None)


@dataclass(frozen=True)
class Listed:
    """What the lists say of a split: ids, indices (n,), and the parts to look for images in.

    `by_class` are the lists that split "train" was read from, None where it was another list.
    """

    ids: list[str]
    indices: Int64
    parts: tuple[str, ...]
    source: str
    by_class: TrainLists | None = None


def read_ground_truth(folder: Path, ids: Sequence[str], classes: ClassList) -> ObjectTable:
    """The objects in `folder`/ID.xml of all `ids`, in continuous pixels and unclipped.

    An image without a file has no objects, but DataError where none has a file; it also names the file and the
    class that `classes` lacks.
    """
    xml = FileIndex([folder], XML_SUFFIXES)
    present = [xml.find_one(image_id) or "" for image_id in ids]
    if ids and not any(present):
        raise DataError(f"annotations must be XML files of the listed images, got no {ids[0]}.xml in {folder}")
    _check_different(present, ids, str(folder))
    raw = annotated_split(folder.name, "", ids, ids, present, continuous)
    if raw.errors:
        raise DataError(raw.errors[0])
    labels = label_objects(raw.names, raw.image, present, classes)
    return object_table(raw.image, raw.boxes, labels, raw.difficult, raw.crowd)


def annotated_names(folder: Path) -> FileNames:
    """The names of the images that have XML files in `folder`."""
    return FileNames(NO_FILES, FileIndex([folder], XML_SUFFIXES))


def read_ilsvrc(settings: DataSettings, split: str, classes: ClassList | None) -> RawSplit:
    """The images of `split` under `settings.root` with their objects; blacklisted pairs never concern train.

    `classes`, by default DET's, are those of the lists by class.
    """
    classes = classes or ilsvrc_det_classes()
    layout = find_layout(settings.root)
    listed = read_split(layout, settings, split, classes)
    images, annotations, in_train = find_files(layout, listed)
    complete, blacklist = read_marks(layout, listed, in_train, settings, classes)
    without = sum(not path for path in annotations)
    note = f"{split}: ILSVRC-DET, {layout.name}, listed by {listed.source}; {without} images have no XML"
    raw = annotated_split(split, note, listed.ids, images, annotations, continuous)
    return replace(raw, indices=listed.indices, complete=complete, blacklist=blacklist)


def named_classes(names: tuple[str, ...]) -> ClassList:
    """`names` in their order; ILSVRC-DET's own get the WNIDs that its XML files use."""
    known = ilsvrc_det_classes()
    labels = [known.label(name) for name in names]
    if None in labels:
        return classes_of_names(names)
    rows = [label - FIRST_LABEL for label in labels if label]
    return ClassList(tuple(known.names[row] for row in rows), tuple(known.wnids[row] for row in rows))


def continuous(corners: Float64) -> Float64:
    """0-based inclusive pixels as continuous boxes (G, 4)."""
    return corners + np.array([0.0, 0.0, 1.0, 1.0])


def find_layout(root: Path) -> DetLayout:
    """Which of the known layouts `root` has; DataError for none."""
    require_folder(root, "data.root")
    if is_folder(root / "Data" / "DET"):
        lists = root / "ImageSets" / "DET"
        return DetLayout("layout of 2015", root, "Data/DET/{part}", "Annotations/DET/{part}", lists)
    if any(root.glob("ILSVRC201[34]_DET_*")):
        found = (path for pattern in DEVKITS for path in sorted(root.glob(pattern)) if path.is_dir())
        kits = (path for path in found if not any(p.startswith(".") for p in path.relative_to(root).parts))
        lists = next(kits, root / "data" / "det_lists")
        images, annotations = "ILSVRC201[34]_DET_{part}*", "ILSVRC201[34]_DET_bbox_{part}*"
        return DetLayout("layout of 2014", root, images, annotations, lists)
    raise DataError(f"data.root must hold ILSVRC-DET as {LAYOUTS}, got neither ({root})")


def read_split(layout: DetLayout, settings: DataSettings, split: str, classes: ClassList) -> Listed:
    """What the lists say of a split; DataError where there is no such list."""
    by_class = _read_by_class(layout, settings, classes) if split == TRAIN else None
    if by_class is not None:
        return _read_train(layout, by_class, settings.train_positives)
    if split == TRAIN and settings.train_positives:
        raise DataError(
            f"lists of training images by class must be there for data.train_positives, got none ({layout.lists})"
        )
    path = find_list(layout.root, split, (layout.lists,))
    if path is None:
        raise DataError(
            f"split must be a list file, got {split!r} (looked for {layout.lists / split}.txt and {split}; "
            f"layouts known: {LAYOUTS})"
        )
    parts = _parts(layout, split)
    ids, indices = read_image_list(path, PartNames(layout, parts), settings.outside_root == "allow")
    return Listed(ids, indices, parts, str(path))


def _read_train(layout: DetLayout, by_class: TrainLists, most: int) -> Listed:
    """All listed images, or the union of at most `most` positives of each class."""
    ids, source = by_class.ids, f"the classes' lists in {layout.lists}"
    if most:
        ids = [ids[row] for row in draw_positives(by_class, most)]
        source = f"at most {most} positives of each of {source}"
    return Listed(ids, np.arange(1, len(ids) + 1), (TRAIN,), source, by_class)


def _read_by_class(layout: DetLayout, settings: DataSettings, classes: ClassList) -> TrainLists | None:
    outside = settings.outside_root == "allow"
    return read_train_lists(layout.lists, classes, PartNames(layout, (TRAIN,)), outside)


def _completeness(
    layout: DetLayout, listed: Listed, in_train: Bool, settings: DataSettings, classes: ClassList
) -> Bool:
    """`Dataset.complete` (n, C): of images of train as the lists by class say, or by name where there are none."""
    partly = [PARTLY_LABELLED.fullmatch(image_id.rpartition("/")[2]) is not None for image_id in listed.ids]
    complete = np.broadcast_to(~np.array(partly, np.bool_)[:, None], (len(partly), len(classes)))
    by_class = listed.by_class
    if by_class is None and in_train.any():
        by_class = _read_by_class(layout, settings, classes)
    if by_class is None:
        return complete
    rows = np.flatnonzero(in_train)
    complete = complete.copy()
    complete[rows] = completeness_of([listed.ids[row] for row in rows], by_class)
    return complete


def read_marks(
    layout: DetLayout, listed: Listed, in_train: Bool, settings: DataSettings, classes: ClassList
) -> tuple[Bool, Int64]:
    """`Dataset.complete` (n, C) and `Dataset.blacklist` (K, 2), for whose pairs no image is complete."""
    complete = all_complete(len(listed.ids), classes)
    if settings.negative_lists == "use":
        complete = _completeness(layout, listed, in_train, settings, classes)
    if settings.blacklist is None:
        return complete, np.empty((0, 2), np.int64)
    indices = np.where(in_train, 0, listed.indices)  # the file's indices are those of val
    pairs = read_blacklist(settings.root / settings.blacklist, indices, classes)
    if len(pairs):
        complete = complete.copy()
        complete[pairs[:, 0], pairs[:, 1] - FIRST_LABEL] = False
    return complete, pairs


def _parts(layout: DetLayout, split: str) -> tuple[str, ...]:
    """Where the images of `split` may be, in the order to look."""
    if split in OFFICIAL_SPLITS:
        return (split,)
    own = (split,) if split.isidentifier() and layout.image_folders(split) else ()
    return (*own, "val", TRAIN)


def find_files(layout: DetLayout, listed: Listed) -> tuple[list[str], list[str], Bool]:
    """The paths of the images and of their XML ("" where there is none), and whether an image is one of train."""
    count = len(listed.ids)
    images, annotations, in_train = [""] * count, [""] * count, np.zeros(count, np.bool_)
    folders = _image_folders(layout, listed.parts)
    for part in folders:
        missing = [position for position in range(count) if not images[position]]
        if not missing:
            break
        pictures = layout.pictures(part)
        xml = _index_annotations(layout, part)
        for position in missing:
            if path := pictures.find(listed.ids[position]):
                images[position] = path
                annotations[position] = xml.find_one(listed.ids[position]) or ""
                in_train[position] = part == TRAIN
    _check_different(images, listed.ids, listed.source)
    expected = next(iter(folders.values()))[0]
    paths = [path or f"{expected / image_id}.JPEG" for path, image_id in zip(images, listed.ids, strict=True)]
    return paths, annotations, in_train


def _check_different(paths: Sequence[str], ids: Sequence[str], source: str) -> None:
    """DataError where two of the images `ids` (n,) have one of the files `paths` (n,), empty for none."""
    known: dict[str, str] = {}
    for path, image_id in zip(paths, ids, strict=True):
        if path and known.setdefault(path, image_id) != image_id:
            names = f"{shown(known[path])} and {shown(image_id)}"
            raise DataError(f"names of images must differ, got {names} for {path} ({source})")


def _image_folders(layout: DetLayout, parts: Sequence[str]) -> dict[str, list[Path]]:
    found = {part: layout.image_folders(part) for part in parts}
    if not any(found.values()):
        looked = ", ".join(str(layout.root / layout.images.format(part=part)) for part in parts)
        raise DataError(f"images must be in a folder, got none (looked for {looked}; layouts known: {LAYOUTS})")
    return {part: folders for part, folders in found.items() if folders}


def _index_annotations(layout: DetLayout, part: str) -> FileIndex:
    index = FileIndex(layout.annotation_folders(part), XML_SUFFIXES)
    if not len(index) and part != UNANNOTATED:
        looked = layout.root / layout.annotations.format(part=part)
        raise DataError(f"annotations must be XML files, got none (looked for {looked}; layouts known: {LAYOUTS})")
    return index


def find_ilsvrc(root: Path) -> FoundData | None:
    """ILSVRC-DET's tree in `root`, and its splits with annotations; None where it is another."""
    try:
        layout = find_layout(root)
    except DataError:
        return None
    parts = {part: FileIndex(layout.annotation_folders(part), XML_SUFFIXES) for part in (TRAIN, "val")}
    files = [index.find(image_id) or "" for index in parts.values() for image_id in index.ids()]
    named = [part for part, index in parts.items() if len(index)]
    whole = named[0] if named else None
    splits = {part: part for part in named} if TRAIN in named else {}
    beside = {key: name for key, name in BESIDE.items() if is_file(root / name)}
    return FoundData(root, f"ILSVRC-DET, {layout.name}", frozenset(files), splits, whole, beside)


def list_folder(root: Path) -> Path:
    """The folder of the lists of splits below `root`, in either layout."""
    return find_layout(root).lists


FORMAT = Format(
    read_ilsvrc,
    "If they are ILSVRC's own images: these may be used for non-commercial research and education only, "
    "by the terms of image-net.org.",
    find=find_ilsvrc,
    protocol="ilsvrc",
    classes=lambda settings: ilsvrc_det_classes(),
    named=named_classes,
    listed_by_class=TRAIN,
    list_folder=list_folder,
)
