"""Reading image files into (H, W, 3) uint8 RGB, and their sizes from the headers.

Greyscale and palette images become RGB, CMYK is converted, 16 bits are scaled to 8, and an alpha channel is
dropped: the colours stored under it count, over nothing. Of an animation the first picture is read. A file
that ends early is an error, although decoders like to fill the rest with grey.
"""

import io
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import PIL.Image

from detector.data.progress import map_chunks
from detector.errors import DataError
from detector.records import Image, Int64

Exif = Literal["ignore", "apply"]

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
ORIENTATION_TAG = 0x0112
FIRST_TRANSPOSED = 5  # orientations 5..8 exchange height and width
HEAD_BYTES = 1 << 16  # holds the header of nearly every file

_warnings_lock = threading.Lock()


def read_image(path: Path, exif: Exif = "ignore") -> Image:
    """The pixels (H, W, 3) uint8 RGB of an image file; DataError names one that cannot be read whole.

    `exif`: whether the orientation tag turns the image.
    """
    return _decode(_read_bytes(path), path, exif)


def read_size(path: Path, exif: Exif = "ignore") -> tuple[int, int]:
    """The (height, width) that `read_image` would give, from the header and the end of the file alone.

    DataError names a file that cannot be opened or ends early.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a third of the time of Path.open
            head = file.read(HEAD_BYTES)
            file.seek(max(file.seek(0, os.SEEK_END) - len(PNG_END), 0))
            tail = file.read()
    except OSError as error:
        raise _unreadable(path, error.strerror) from None
    if not _is_ended(head, tail):
        return read_image(path, exif).shape[:2]
    try:
        return _header_size(head, exif)
    except Exception:  # the header is longer than the part read, or wrong
        content = _read_bytes(path)
    try:
        return _header_size(content, exif)
    except Exception:  # PIL does not know the file: cv2 may
        return _decode(content, path, exif).shape[:2]


def resize_image(image: Image, height: int, width: int) -> Image:
    """`image` at another size, whatever its aspect: areas averaged where it shrinks, else bilinear."""
    if (height, width) == image.shape[:2]:
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def read_sizes(paths: Sequence[str], exif: Exif = "ignore") -> tuple[Int64, dict[int, str]]:
    """The sizes (n, 2) of the images, and the messages about those that cannot be read, by position."""
    results = [entry for chunk in map_chunks(partial(_try_sizes, exif), paths, "image sizes") for entry in chunk]
    errors = {position: entry for position, entry in enumerate(results) if isinstance(entry, str)}
    sizes = [(0, 0) if isinstance(entry, str) else entry for entry in results]
    return np.array(sizes, np.int64).reshape(-1, 2), errors


def _try_sizes(exif: Exif, paths: Sequence[str]) -> list[tuple[int, int] | str]:
    return [_try_size(Path(path), exif) for path in paths]


def _try_size(path: Path, exif: Exif) -> tuple[int, int] | str:
    try:
        return read_size(path, exif)
    except DataError as error:
        return str(error)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror) from None


def _unreadable(path: Path, reason: object) -> DataError:
    return DataError(f"image must be a whole, readable file, got {path} ({' '.join(str(reason).split())})")


def _is_ended(head: bytes, tail: bytes) -> bool:
    """Whether the file ends as its format wants; True for formats whose end has no mark."""
    if head.startswith(JPEG_START):
        return tail.endswith(JPEG_END)
    if head.startswith(PNG_START):
        return tail.endswith(PNG_END)
    return bool(head)


def _decode(content: bytes, path: Path, exif: Exif) -> Image:
    if not _is_ended(content, content):
        _decode_strictly(content, path)  # bytes after the end are harmless, a missing end is not
    image = _decode_fast(content)
    if image is None:
        image = _decode_strictly(content, path)
    if exif == "apply":
        image = _turn(image, _orientation(content))
    return image


def _decode_fast(content: bytes) -> Image | None:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:  # an empty file, or more pixels than cv2 takes
        return None
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _decode_strictly(content: bytes, path: Path) -> Image:
    """Decode by PIL, which refuses what ends early."""
    try:
        with _quiet(), PIL.Image.open(io.BytesIO(content)) as image:
            image.load()
            return np.asarray(image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB"))
    except Exception as error:  # whatever the parser of the file's format stumbles over
        raise _unreadable(path, error if content else "it is empty") from None


def _header_size(content: bytes, exif: Exif) -> tuple[int, int]:
    with _quiet(), PIL.Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        turned = exif == "apply" and image.getexif().get(ORIENTATION_TAG, 1) >= FIRST_TRANSPOSED
    return (width, height) if turned else (height, width)


def _orientation(content: bytes) -> int:
    """The orientation tag, 1..8; 1 where there is none."""
    try:
        with _quiet(), PIL.Image.open(io.BytesIO(content)) as image:
            return image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # a file only cv2 reads, or a broken tag
        return 1


def _turn(image: Image, orientation: int) -> Image:
    """`image` as the orientation tag wants it shown (EXIF 2.3, section 4.6.4)."""
    match orientation:
        case 2:
            turned = image[:, ::-1]
        case 3:
            turned = image[::-1, ::-1]
        case 4:
            turned = image[::-1]
        case 5:
            turned = image.transpose(1, 0, 2)
        case 6:
            turned = image[::-1].transpose(1, 0, 2)
        case 7:
            turned = image[::-1, ::-1].transpose(1, 0, 2)
        case 8:
            turned = image[:, ::-1].transpose(1, 0, 2)
        case _:
            turned = image
    return np.ascontiguousarray(turned)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PIL's remarks on odd files from the screen; one thread at a time, as the filters are shared."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
