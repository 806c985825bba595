"""Images that show one scene: the same files, augmented copies, frames of one video, and pictures that look alike.

Which of two images is trained on and which is tested on must not be asked of such: the test would measure memory.
"""

import os
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from detector.data.duplicates import equal_files
from detector.data.images import Exif, read_image
from detector.data.many_files import map_chunks
from detector.errors import DataError
from detector.records import Array, Int64

ROWS, COLUMNS = 8, 9  # of the thumbnail whose differences along the rows are an image's 64 bits
SAME = 3  # bits in which pictures of one scene differ at most: a copy in another size or quality
NEXT = 12  # the same, of images that follow each other by number: frames of a video
AT_ONCE = 1 << 22  # pairs compared at a time
# Roboflow's names: of the augmented copies of a.jpg, a_jpg.rf.HASH.jpg; of a frame of a.mp4, a_mp4-12_jpg
COPY = re.compile(r"^(.*)[._](?:jpe?g|png|bmp|webp|tiff?)\.rf\.[0-9A-Za-z]+$", re.IGNORECASE)
VIDEO = re.compile(r"^(.*[._-](?:mp4|mov|avi|mkv|webm|m4v))[._-].*\d", re.IGNORECASE)
FRAME = re.compile(
    r"^((?:.*[ ._-])?(?:frame[ ._-]?|(?:clip|video|vid|cam|camera)[ ._-]?\d*[ ._-]))\d+$", re.IGNORECASE
)
NUMBERED = re.compile(r"^(.*?)(\d+)$")


def scenes(paths: Sequence[str], exif: Exif = "ignore") -> Int64:
    """The scene (n,) of each image, numbered by their first images.

    One scene are: equal files; images whose names say that they are copies of one, or frames of one video; images
    that differ in `SAME` of 64 bits at most, or in `NEXT` where their names have successive numbers. The bits say
    in which of neighbouring cells of the grey image, 8 x 9 of them, it is brighter.
    """
    parents = list(range(len(paths)))
    for group in (*equal_files(paths), *_grouped(map(_source, paths))):
        _join(parents, group)
    bits, known = _all_bits(paths, exif)
    rows = np.flatnonzero(known)
    for one, other in _near(bits[rows]):
        _join(parents, (int(rows[one]), int(rows[other])))
    for one, other in _successive(paths):
        if known[one] and known[other] and int(np.bitwise_count(bits[one] ^ bits[other])) <= NEXT:
            _join(parents, (one, other))
    roots = [_root(parents, position) for position in range(len(paths))]
    return np.unique(np.array(roots, np.int64), return_inverse=True)[1].reshape(-1)


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]  # noqa: PTH119, PTH122


def _source(path: str) -> str | None:
    """What the name of an image says that it is a copy or a frame of; None for no word of it."""
    stem = _stem(path)
    copy = COPY.match(stem)
    original = copy[1] if copy else stem
    found = VIDEO.match(original) or FRAME.match(original)
    return found[1] if found else copy[1] if copy else None


def _grouped(keys: Iterable[Hashable]) -> list[list[int]]:
    """The positions of each key but None."""
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if key is not None:
            found[key].append(position)
    return list(found.values())


def _all_bits(paths: Sequence[str], exif: Exif) -> tuple[Array, Array]:
    """The 64 bits (n,) u64 of each image, and whether they are known: it can be read and is not flat."""
    chunks = map_chunks(partial(_bits_of_some, exif), paths, "look for scenes")
    found = [bits for chunk in chunks for bits in chunk]
    known = np.array([bits is not None for bits in found], np.bool_)
    return np.array([bits or 0 for bits in found], np.uint64), known


def _bits_of_some(exif: Exif, paths: Sequence[str]) -> list[int | None]:
    return [_bits(Path(path), exif) for path in paths]


def _bits(path: Path, exif: Exif) -> int | None:
    try:
        image = read_image(path, exif)
    except DataError:
        return None
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(grey, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA).astype(np.int64)
    rising = cells[:, 1:] > cells[:, :-1]
    packed = int.from_bytes(np.packbits(rising).tobytes(), "big")
    return packed if rising.any() else None  # a flat picture is like every other flat one


def _near(bits: Array) -> Iterable[tuple[int, int]]:
    """The pairs among numbers (n,) that differ in `SAME` bits at most."""
    step = max(1, AT_ONCE // max(len(bits), 1))
    for first in range(0, len(bits), step):
        differ = np.bitwise_count(bits[first : first + step, None] ^ bits[None, :])
        for one, other in zip(*np.nonzero(differ <= SAME), strict=True):
            if first + one < other:
                yield first + int(one), int(other)


def _successive(paths: Sequence[str]) -> Iterable[tuple[int, int]]:
    """The pairs of images in one folder whose names are the same but for a last number, and have the next one."""
    numbered: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for position, path in enumerate(paths):
        found = NUMBERED.match(_stem(path))
        if found:
            numbered[os.path.dirname(path), found[1]].append((int(found[2]), position))  # noqa: PTH120
    for images in numbered.values():
        images.sort()
        yield from ((one[1], other[1]) for one, other in pairwise(images))


def _root(parents: list[int], position: int) -> int:
    while parents[position] != position:
        parents[position] = parents[parents[position]]
        position = parents[position]
    return position


def _join(parents: list[int], group: Sequence[int]) -> None:
    roots = [_root(parents, position) for position in group]
    for root in roots:
        parents[root] = min(roots)
