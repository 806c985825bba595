"""A split as its files state it, whatever is wrong with it: for a check, where readers stop or repair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList, ilsvrc_det_classes
from detector.data.dataset import split_name
from detector.data.formats import coco, ilsvrc, voc
from detector.data.formats.xml_annotations import Annotation, read_annotation
from detector.data.progress import map_chunks
from detector.errors import DataError
from detector.records import Array, Bool, Float64, Int64

NOTHING = Annotation(0, 0, (), np.empty((0, 4)), np.empty(0, np.bool_))


@dataclass(frozen=True, eq=False)
class RawSplit:
    """The n images of a split and their objects: nothing left out, nothing clipped or scaled.

    `title` is the name, of a list file without its folder and suffix.

    ids and paths (n,) str; sources (n,) str name the annotation of each image; stated (n, 2) i64 height, width, 0
    where none is stated. Objects rise by image (G,) i64: names (G,) str, boxes (G, 4) f64 in continuous pixels of
    the stated size, crowd (G,) and difficult (G,) bool. `errors` are messages about annotations that cannot be
    read; their images have no objects here. `categories` are the ids of COCO's by name,
    `remarks` the images that something else is to be said of.
    """

    name: str
    title: str
    ids: Array
    paths: Array
    sources: Array
    stated: Int64
    image: Int64
    names: Array
    boxes: Float64
    difficult: Bool
    crowd: Bool
    errors: tuple[str, ...] = ()
    categories: Mapping[str, int] = field(default_factory=dict)
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


def read_raw_split(settings: DataSettings, split: str, classes: ClassList | None = None) -> RawSplit:
    """The files of `split`; `classes` are those whose lists make up ilsvrc's split train, by default DET's 200.

    DataError where folders, lists or a COCO JSON are missing or wrong: nothing more can be said then.
    """
    match settings.format:
        case "ilsvrc":
            return _read_ilsvrc(settings, split, classes or ilsvrc_det_classes())
        case "voc":
            return _read_voc(settings, split)
        case "coco":
            return _read_coco(settings, split)


def _read_ilsvrc(settings: DataSettings, split: str, classes: ClassList) -> RawSplit:
    layout = ilsvrc.find_layout(settings.root)
    listed = ilsvrc.read_split(layout, settings, split, classes)
    images, annotations, in_train = ilsvrc.find_files(layout, listed)
    ilsvrc.read_marks(layout, listed, in_train, settings, classes)  # which training would stop at
    raw = _with_annotations(split, listed.ids, images, annotations, ())
    return replace(raw, boxes=ilsvrc.continuous(raw.boxes))


def _read_voc(settings: DataSettings, split: str) -> RawSplit:
    found = voc.find_split(settings, split)
    raw = _with_annotations(split, found.ids, found.images, found.annotations, found.bare)
    return replace(raw, boxes=voc.continuous(raw.boxes), remarks=found.remarks())


def _read_coco(settings: DataSettings, split: str) -> RawSplit:
    files = coco.find_split(settings, split)
    images = files.tree["images"]
    names = {category["id"]: category["name"] for category in files.tree["categories"]}
    entries, image, boxes = coco.entries_by_image(files.tree)
    return RawSplit(
        name=split,
        title=split_name(split),
        ids=np.array([str(image["id"]) for image in images], np.str_),
        paths=np.array(files.paths, np.str_),
        sources=np.array(files.origins, np.str_),
        stated=coco.stated_sizes(images),
        image=image,
        names=np.array([names[entry["category_id"]] for entry in entries], np.str_),
        boxes=boxes,
        difficult=np.zeros(len(entries), np.bool_),
        crowd=np.array([entry.get("iscrowd", 0) == 1 for entry in entries], np.bool_),
        categories={name: number for number, name in names.items()},
    )


def _with_annotations(
    split: str, ids: Sequence[str], images: Sequence[str], annotations: Sequence[str], errors: Sequence[str]
) -> RawSplit:
    """The split with what its XML files state, corners as they stand; an empty path is an image without a file."""
    found = [each for chunk in map_chunks(_try_annotations, annotations, "annotations") for each in chunk]
    read = [NOTHING if isinstance(each, str) else each for each in found]
    counts = [len(annotation.names) for annotation in read]
    return RawSplit(
        name=split,
        title=split_name(split),
        ids=np.array(ids, np.str_),
        paths=np.array(images, np.str_),
        sources=np.array([xml or image for xml, image in zip(annotations, images, strict=True)], np.str_),
        stated=np.array([(each.height, each.width) for each in read], np.int64).reshape(-1, 2),
        image=np.repeat(np.arange(len(read), dtype=np.int64), counts),
        names=np.array([name for each in read for name in each.names], np.str_),
        boxes=np.concatenate([np.empty((0, 4)), *(each.corners for each in read)]),
        difficult=np.concatenate([np.empty(0, np.bool_), *(each.difficult for each in read)]),
        crowd=np.zeros(sum(counts), np.bool_),
        errors=(*errors, *(each for each in found if isinstance(each, str))),
    )


def _try_annotations(paths: Sequence[str]) -> list[Annotation | str]:
    return [_try_annotation(path) for path in paths]


def _try_annotation(path: str) -> Annotation | str:
    try:
        return read_annotation(Path(path)) if path else NOTHING
    except DataError as error:
        return str(error)
