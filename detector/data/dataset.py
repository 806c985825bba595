"""A data set in flat arrays: what every reader returns, small enough for 456,567 images and cheap to share."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from detector.boxes import clip_boxes
from detector.data.classes import ClassList
from detector.errors import DataError
from detector.records import Array, Bool, GroundTruth, ImageRecord, Int64, ObjectTable, join, take

MIN_SIDE = 1.0  # pixels; a box that is no wider or no higher shows nothing to learn from


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images 0..n-1 with their objects.

    image_ids and paths (n,) str arrays; sizes (n, 2) i64 height, width of the files; objects sorted by image,
    as the files state them (unclipped), in the pixels of the image file; complete (n, C) bool: in the image every
    object of the class is known to be boxed, so that what is no such object is a negative of the class (column
    label - 1); indices (n,) i64 are the 1-based numbers that ILSVRC's submissions use; blacklist (K, 2) i64 rows
    of (image position, label) that the ILSVRC evaluation leaves out, and that are not trained on. `notes` are
    lines about what the reader found and repaired. `text_ids` says that the ids are text in the data's file, even
    such as "12".
    """

    name: str
    classes: ClassList
    image_ids: Array
    paths: Array
    sizes: Int64
    objects: ObjectTable
    complete: Bool
    indices: Int64
    blacklist: Int64
    notes: tuple[str, ...] = ()
    text_ids: bool = False

    def __len__(self) -> int:
        return len(self.image_ids)

    @cached_property
    def exhaustive(self) -> Bool:
        """Mask (n,) of the images that are complete for every class: what is no object there is background."""
        return np.asarray(self.complete.all(axis=1))

    def record(self, position: int) -> ImageRecord:
        """The image at `position` in 0..n-1."""
        height, width = self.sizes[position]
        return ImageRecord(str(self.image_ids[position]), Path(str(self.paths[position])), int(height), int(width))

    def truth(self, position: int) -> GroundTruth:
        """The usable objects of the image at `position`: clipped to the image, those left too thin dropped.

        Objects of a blacklisted class count as difficult: they are neither trained on nor background.
        """
        first, last = np.searchsorted(self.objects.image, [position, position + 1])
        rows = take(self.objects, np.arange(first, last))
        boxes = clip_boxes(rows.boxes, *self.sizes[position])
        blacklisted = self.blacklist[self.blacklist[:, 0] == position, 1]
        difficult = rows.difficult | np.isin(rows.labels, blacklisted)
        truth = GroundTruth(boxes.astype(np.float32), rows.labels, difficult, rows.crowd)
        return take(truth, has_area(boxes))


def split_name(split: str) -> str:
    """What `split` is called: its name, or of the path of a file that without folder and suffix.

    A name that says nothing, such as Roboflow's train/_annotations.coco.json, is that of its folder.
    """
    path = Path(split)
    return path.parent.name if path.stem.startswith("_annotations") and path.parent.name else path.stem


def all_complete(images: int, classes: ClassList) -> Bool:
    """`Dataset.complete` of images whose every object is boxed; it takes no memory and cannot be written to."""
    return np.broadcast_to(np.True_, (images, len(classes)))


def has_area(boxes: Array) -> Bool:
    """Mask (N,) of the boxes (N, 4) whose sides are longer than `MIN_SIDE`."""
    return np.all(boxes[:, 2:] - boxes[:, :2] > MIN_SIDE, axis=1)


def subset(dataset: Dataset, positions: Array) -> Dataset:
    """The images at `positions` (integers that differ, or a mask), in that order, with what belongs to them."""
    chosen = np.arange(len(dataset))[positions]
    place = np.full(len(dataset), -1)
    place[chosen] = np.arange(len(chosen))
    rows = np.flatnonzero(place[dataset.objects.image] >= 0)
    rows = rows[np.argsort(place[dataset.objects.image[rows]], kind="stable")]
    objects = take(dataset.objects, rows)
    blacklist = dataset.blacklist[place[dataset.blacklist[:, 0]] >= 0]
    return replace(
        dataset,
        image_ids=dataset.image_ids[chosen],
        paths=dataset.paths[chosen],
        sizes=dataset.sizes[chosen],
        objects=replace(objects, image=place[objects.image]),
        complete=dataset.complete[chosen],
        indices=dataset.indices[chosen],
        blacklist=np.stack([place[blacklist[:, 0]], blacklist[:, 1]], axis=1),
    )


def join_datasets(parts: Sequence[Dataset]) -> Dataset:
    """The images of all `parts`, in order; they must share one class list, and no file may be in two.

    Parts of which other images have the same ids get their names before all of theirs, such as valid/0.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    lists = [(p.classes, p.classes.category_ids) for p in parts]
    if any(other != lists[0] for other in lists):
        raise DataError(f"splits joined into one data set must share their classes, got {[p.name for p in parts]}")
    starts = np.cumsum([0] + [len(p) for p in parts])
    _require_other_files(parts)
    shifted = [replace(p.objects, image=p.objects.image + s) for p, s in zip(parts, starts, strict=False)]
    blacklists = [p.blacklist + np.array([s, 0]) for p, s in zip(parts, starts, strict=False)]
    return Dataset(
        name=" + ".join(p.name for p in parts),
        classes=first.classes,
        image_ids=np.concatenate(_distinct_ids(parts)),
        paths=np.concatenate([p.paths for p in parts]),
        sizes=np.concatenate([p.sizes for p in parts]),
        objects=join(shifted),
        complete=np.concatenate([p.complete for p in parts]),
        indices=np.concatenate([p.indices for p in parts]),
        blacklist=np.concatenate(blacklists),
        notes=tuple(note for p in parts for note in p.notes),
        text_ids=any(p.text_ids for p in parts),
    )


def _require_other_files(parts: Sequence[Dataset]) -> None:
    """DataError names an image whose file is in two parts, by whatever links."""
    names = Counter(name for p in parts for name in {os.path.basename(path) for path in p.paths.tolist()})  # noqa: PTH119
    real = cache(os.path.realpath)
    owner: dict[str, int] = {}
    for number, part in enumerate(parts):
        for image_id, path in zip(part.image_ids.tolist(), part.paths.tolist(), strict=True):
            folder, name = os.path.split(path)
            if names[name] > 1 and owner.setdefault(_file(real(folder), name), number) != number:
                raise DataError(
                    f"image {image_id} must be in one split only, got {[p.name for p in parts]} ({path})"
                )


def _file(folder: str, name: str) -> str:
    path = os.path.join(folder, name)  # noqa: PTH118 - of half a million images
    return os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114


def _distinct_ids(parts: Sequence[Dataset]) -> list[Array]:
    """The ids of each part; of parts that share some with the part's name in front."""
    names = [p.name for p in parts]
    if len(set(names)) < len(names):
        names = [f"{name}-{number}" for number, name in enumerate(names, 1)]
    ids, named = [p.image_ids for p in parts], set[int]()
    while fresh := _sharing(ids) - named:
        named |= fresh
        for number in fresh:
            ids[number] = np.array([f"{names[number]}/{image_id}" for image_id in ids[number].tolist()], np.str_)
    return ids


def _sharing(ids: Sequence[Array]) -> set[int]:
    """Which parts have an id that another has."""
    distinct = [np.unique(own) for own in ids]
    part = np.repeat(np.arange(len(ids)), [len(own) for own in distinct])
    _, inverse, counts = np.unique(np.concatenate(distinct), return_inverse=True, return_counts=True)
    return set(part[counts[inverse.reshape(-1)] > 1].tolist())
