"""Reading image files into (H, W, 3) uint8 RGB, and their sizes from the headers.

Greyscale and palette images become RGB, CMYK is converted, 16 bits are scaled to 8, and an alpha channel is
dropped: the colours stored under it count, over nothing. Of an animation the first picture is read. A file
that ends early or is damaged is an error, although decoders like to fill the rest with grey; so are samples of
32 bits or with signs, whose black and white nobody states, and more pixels than `MOST_PIXELS`. A file of another
format than `KINDS` reaches no decoder.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from detector.data.decoders.jpeg import END as JPEG_END
from detector.data.decoders.jpeg import decode_jpeg, require_undamaged
from detector.data.decoders.jpeg_damage import frame_size
from detector.data.decoders.kinds import FileKind, check_size, kind_of
from detector.data.decoders.opencv import decode_by_opencv
from detector.data.decoders.orientation import FIRST_TRANSPOSED, turn
from detector.data.decoders.pillow import header_size, load_pixels, orientation
from detector.data.decoders.png import END_CHUNK as PNG_END
from detector.data.decoders.png import decode_png, png_size
from detector.data.decoders.tiff import decode_tiff, tiff_size
from detector.data.decoders.webp import webp_length, webp_size
from detector.data.many_files import map_chunks
from detector.errors import DataError
from detector.files import read_bytes, require_file, unreadable
from detector.records import Image, Int64

Exif = Literal["ignore", "apply"]

HEAD_BYTES = 1 << 16  # holds the header of nearly every file
MOST_BYTES = 1 << 31  # of a file: more than the most pixels take, 16 bits a channel


def read_image(path: Path, exif: Exif = "ignore") -> Image:
    """The pixels (H, W, 3) uint8 RGB of an image file; DataError names one that cannot be read whole.

    `exif`: whether the orientation tag turns the image.
    """
    return _decode(_read(path), path, exif)


def check_image(path: Path, exif: Exif = "ignore") -> None:
    """DataError for what `read_image` refuses, and for damage of a JPEG that its decoder overlooks."""
    content = _read(path)
    _decode(content, path, exif)
    if kind_of(content) == "JPEG":
        try:
            require_undamaged(content)
        except ValueError as error:
            raise _damaged(path, error) from None


def read_size(path: Path, exif: Exif = "ignore") -> tuple[int, int]:
    """The (height, width) that `read_image` would give, from the header and the end of the file alone.

    DataError names a file that cannot be opened or ends early.
    """
    head, tail, length = _ends(path)
    try:
        kind = kind_of(head)
        if not _is_ended(kind, head, tail, length):
            return read_image(path, exif).shape[:2]
        try:
            return _size(head, kind, exif)
        except Exception:  # the header is longer than the part read, or wrong
            return _size(_read(path), kind, exif)
    except DataError:
        raise
    except Exception as error:
        raise _damaged(path, error) from None


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


def _read(path: Path) -> bytes:
    with suppress(OSError, ValueError):  # which read_bytes tells
        _check_length(path, os.stat(path).st_size)  # noqa: PTH116 - a third of the time of Path.stat
    return read_bytes(path, "image")


def _ends(path: Path) -> tuple[bytes, bytes, int]:
    """The first and the last bytes of a file, and how many it has."""
    require_file(path, "image")
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a third of the time of Path.open
            head = file.read(HEAD_BYTES)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(length - len(PNG_END), 0))
            tail = file.read()
    except OSError as error:
        raise unreadable(path, "image", error.strerror) from None
    _check_length(path, length)
    return head, tail, length


def _check_length(path: Path, length: int) -> None:
    if length > MOST_BYTES:
        raise unreadable(path, "image", f"it has more than {MOST_BYTES >> 30} GiB")


def _decode(content: bytes, path: Path, exif: Exif) -> Image:
    try:
        kind = kind_of(content)
        image = DECODERS[kind](content)
        return turn(image, orientation(content, kind)) if exif == "apply" else image
    except Exception as error:  # whatever the decoder of the format stumbles over
        raise _damaged(path, error) from None


def _size(content: bytes, kind: FileKind, exif: Exif) -> tuple[int, int]:
    height, width = SIZES[kind](content)
    check_size(height, width)
    turned = exif == "apply" and orientation(content, kind) >= FIRST_TRANSPOSED
    return (width, height) if turned else (height, width)


def _damaged(path: Path, error: Exception) -> DataError:
    """The error about a file that is there, and no whole image."""
    reason = "it needs more memory than there is" if isinstance(error, MemoryError) else str(error)
    return DataError(f"image must be a whole, readable file, got {path} ({' '.join(reason.split())})")


def _is_ended(kind: FileKind, head: bytes, tail: bytes, length: int) -> bool:
    """Whether the file ends as its format wants; True for formats whose end has no mark."""
    match kind:
        case "JPEG":
            return tail.endswith(JPEG_END)
        case "PNG":
            return tail.endswith(PNG_END)
        case "WEBP":
            return length >= webp_length(head)
    return True


def _decode_webp(content: bytes) -> Image:
    check_size(*webp_size(content))
    return _by_opencv_or_pillow(content, "WEBP")


def _decode_bmp(content: bytes) -> Image:
    check_size(*header_size(content, "BMP"))
    return _by_opencv_or_pillow(content, "BMP")


def _by_opencv_or_pillow(content: bytes, kind: FileKind) -> Image:
    """The pixels; of what OpenCV does not know Pillow says what is wrong."""
    image = decode_by_opencv(content)
    return load_pixels(content, kind) if image is None else image


DECODERS: Mapping[FileKind, Callable[[bytes], Image]] = {
    "JPEG": decode_jpeg,
    "PNG": decode_png,
    "WEBP": _decode_webp,
    "BMP": _decode_bmp,
    "GIF": partial(load_pixels, kind="GIF"),
    "TIFF": decode_tiff,
}
SIZES: Mapping[FileKind, Callable[[bytes], tuple[int, int]]] = {
    "JPEG": frame_size,
    "PNG": png_size,
    "WEBP": webp_size,
    "BMP": partial(header_size, kind="BMP"),
    "GIF": partial(header_size, kind="GIF"),
    "TIFF": tiff_size,
}
