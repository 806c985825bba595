"""A folder of images, and nothing else: no annotations, no lists, no classes.

The split "all" is every image at and below ROOT; any other is a folder below it. They are images to propose
regions of, not to train on.
"""

import os
from collections import Counter

import numpy as np

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.folders import images_below, is_folder, require_folder
from detector.data.formats.data_format import Format, RawSplit
from detector.errors import DataError
from detector.text import shown

EVERY_IMAGE = "all"
ANY_OBJECT = ClassList(("object",))  # what there is to tell apart without annotations


def read_folder(settings: DataSettings, split: str, classes: ClassList | None) -> RawSplit:
    """The images of `split` in the order of their paths, without objects.

    An image's id is its path below ROOT without the suffix; images that differ in it alone keep theirs. DataError
    where there is no such folder.
    """
    root = settings.root
    require_folder(root, "data.root")
    folder = root if split == EVERY_IMAGE else root / split
    if not is_folder(folder):
        raise DataError(f"split must be {EVERY_IMAGE!r} or a folder, got {shown(split)} (looked for {folder})")
    found = images_below(folder)
    names = sorted(path.relative_to(root).as_posix() for path in found.images)
    nothing = np.empty(0, np.bool_)
    return RawSplit(
        name=split,
        note=f"{split}: {len(names)} images without annotations, in {folder}",
        ids=np.array(_ids(names), np.str_),
        paths=np.array([str(root / name) for name in names], np.str_),
        sources=np.array([str(root / name) for name in names], np.str_),
        stated=np.zeros((len(names), 2), np.int64),
        image=np.empty(0, np.int64),
        names=np.empty(0, np.str_),
        boxes=np.empty((0, 4), np.float64),
        difficult=nothing,
        crowd=nothing,
        remarks={why: list(map(str, paths)) for why, paths in found.left_out.items()},
    )


def _ids(names: list[str]) -> list[str]:
    stems = [os.path.splitext(name)[0] for name in names]  # noqa: PTH122
    counts = Counter(stems)
    return [stem if counts[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]


FORMAT = Format(read_folder, "They are images of your own.", classes=lambda _: ANY_OBJECT)
