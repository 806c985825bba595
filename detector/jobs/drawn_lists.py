"""The image lists of a drawn split; each line means exactly one file, even where several have the same name.

A line is the path of an image, with its suffix, below the folder that lists are read from; where a format has
names of its own for images, such as COCO's file_name, it is that name. A list is read back before it is used.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.data.alike import scenes
from detector.data.formats.data_format import RawSplit
from detector.data.holdout import draw_test
from detector.data.images import read_headers, unreadable_images
from detector.errors import DataError
from detector.files import write_text
from detector.jobs.stated_splits import StatedSplits, data_settings, names_of
from detector.jobs.wish import Tree
from detector.records import Array, Bool, Int64

TRAIN_LIST, TEST_LIST = "train.txt", "test.txt"


@dataclass(frozen=True, eq=False)
class DrawnFrom:
    """The n images of some splits that can be drawn: their files, annotations and objects of each class (n, C)."""

    ids: list[str]
    paths: list[str]
    sources: list[str]
    counts: Int64

    def taken(self, chosen: Bool) -> "DrawnFrom":
        """The images that are `chosen` (n,)."""
        rows = np.flatnonzero(chosen).tolist()
        ids, paths, sources = ([column[row] for row in rows] for column in (self.ids, self.paths, self.sources))
        return DrawnFrom(ids, paths, sources, self.counts[chosen])


def draw_lists(
    stated: StatedSplits, splits: object, whole: str | None, lists: Path, seed: int
) -> tuple[Tree, list[str]]:
    """The settings of a drawn split of the images of `splits`, whose lists are written, and lines about it.

    `whole` is the split of all images of the folder, None where it has none. DataError where there is nothing to
    draw from.
    """
    read = stated.read(splits)
    images = _images_of(read)
    if not images.ids:
        reasons = [reason for raw in read for reason in (*raw.missing, *raw.errors)]
        notes = "; ".join(raw.note for raw in read)
        raise DataError(reasons[0] if reasons else f"--data must hold images with annotations, got none ({notes})")
    images, lines = _readable(stated, images)
    names = _names_of_images(stated, splits, read, whole, images)
    scene = scenes(images.paths)
    tested = draw_test(images.counts, scene, images.ids, seed)
    alike = len(scene) - len(np.unique(scene))
    together = f"; {alike} images stay with others of their scene" * bool(alike)
    drawn = f"{tested.sum()} of {len(tested)} images are drawn to test on ({lists / TEST_LIST})"
    lines.insert(0, f"split: none found, so {drawn}{together}")
    for raw in read:
        lines += [f"warning: {len(cases)} {text} ({cases[0]})" for text, cases in raw.remarks.items() if cases]
    _write_lists(stated, lists, names, images, tested)
    return {"train": str(lists / TRAIN_LIST), "test": str(lists / TEST_LIST)}, lines


def _images_of(splits: Sequence[RawSplit]) -> DrawnFrom:
    """The images of the splits; one that is in several counts once."""
    ids = [str(each) for raw in splits for each in (raw.ids if raw.listed is None else raw.listed).tolist()]
    paths = [str(path) for raw in splits for path in raw.paths.tolist()]
    sources = [str(source) for raw in splits for source in raw.sources.tolist()]
    images = DrawnFrom(ids, paths, sources, _counts(splits))
    first = np.zeros(len(paths), np.bool_)
    first[list({path: row for row, path in reversed(list(enumerate(paths)))}.values())] = True
    return images.taken(first)


def _counts(splits: Sequence[RawSplit]) -> Int64:
    """How many objects of each class, by its name, there are in each image (n, C)."""
    starts = np.cumsum([0, *map(len, splits)])
    names, labels = np.unique(np.concatenate([raw.names for raw in splits]), return_inverse=True)
    image = np.concatenate([raw.image + start for raw, start in zip(splits, starts, strict=False)])
    counts = np.zeros((int(starts[-1]), len(names)), np.int64)
    np.add.at(counts, (image, labels.reshape(-1)), 1)
    return counts


def _readable(stated: StatedSplits, images: DrawnFrom) -> tuple[DrawnFrom, list[str]]:
    """The images that can be read where the others are to be skipped, and a line about these."""
    settings = data_settings(stated.tree)
    if settings.bad_images == "stop":
        return images, []
    errors = unreadable_images(images.paths, settings.exif)
    if not errors:
        return images, []
    first = next(iter(errors.values()))
    if len(errors) == len(images.ids):
        raise DataError(f"{first}; {len(errors) - 1} more like it")
    kept = images.taken(~np.isin(np.arange(len(images.ids)), list(errors)))
    return kept, [f"warning: {len(errors)} images cannot be read and are in neither list ({first})"]


def _names_of_images(
    stated: StatedSplits, splits: object, read: Sequence[RawSplit], whole: str | None, images: DrawnFrom
) -> list[list[str]]:
    """What lists may call the images, the surest first."""
    if any(raw.listed is not None for raw in read):
        return [images.ids]
    itself = dict(zip(images.paths, images.ids, strict=True))
    known = itself if names_of(splits) == [whole] else _known_ids(stated, whole)
    root = str(stated.tree["root"])
    below = [os.path.relpath(path, root).replace(os.sep, "/") for path in images.paths]
    ends = [os.path.splitext(path)[1] for path in images.paths]  # noqa: PTH122
    surest = [
        f"{known[path]}{end}" if path in known else short
        for path, end, short in zip(images.paths, ends, below, strict=True)
    ]
    return [surest, below, images.ids]


def _known_ids(stated: StatedSplits, whole: str | None) -> dict[str, str]:
    """What the images are called in the split of all of them, by their paths."""
    read = [] if whole is None else stated.read_if_there(whole)
    return {path: name for raw in read for path, name in zip(raw.paths.tolist(), raw.ids.tolist(), strict=True)}


def _write_lists(
    stated: StatedSplits, lists: Path, candidates: Sequence[Sequence[str]], images: DrawnFrom, tested: Bool
) -> None:
    """Write the lists by the first names that mean the same files when they are read; DataError where none do."""
    errors: list[DataError] = []
    for names in candidates:
        try:
            for file, chosen in ((TRAIN_LIST, ~tested), (TEST_LIST, tested)):
                path = lists / file
                write_text(path, "".join(f"{names[row]}\n" for row in np.flatnonzero(chosen).tolist()))
                _require_same(stated, path, images.taken(chosen))
            return
        except DataError as error:
            errors.append(error)
    bad = read_headers(images.paths).errors  # of an image that is missing no name means a file
    if bad:
        raise DataError(next(iter(bad.values())))
    raise DataError(
        f"split must be of images that a list can name, got another than was drawn: {errors[0]} "
        "(data.train=SPLIT data.test=SPLIT draw none)"
    )


def _require_same(stated: StatedSplits, path: Path, images: DrawnFrom) -> None:
    (raw,) = StatedSplits(stated.tree).read(str(path))
    if raw.missing:
        raise DataError(raw.missing[0])
    if len(raw) != len(images.ids):
        raise DataError(f"{path} must be a list of {len(images.ids)} images, got {len(raw)} when it is read")
    for wanted, got in ((images.paths, raw.paths), (images.sources, raw.sources)):
        _require_equal(path, wanted, got)


def _require_equal(path: Path, wanted: Sequence[str], got: Array) -> None:
    for line, (one, other) in enumerate(zip(wanted, got.tolist(), strict=True), 1):
        if one != other and os.path.realpath(one) != os.path.realpath(other):
            raise DataError(f"{path}:{line} must mean {one}, got {other}")
