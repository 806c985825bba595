"""Reading image files into (H, W, 3) uint8 RGB, and their sizes from the headers.

Greyscale and palette images become RGB, CMYK is converted, 16 bits are scaled to 8, and an alpha channel is
dropped: the colours stored under it count, over nothing. Of an animation the first picture is read. A file
that ends early or is damaged is an error, although decoders like to fill the rest with grey; so are samples of
32 bits or with signs, whose black and white nobody states, and more pixels than `MOST_PIXELS`. A file of another
format than `KINDS` reaches no decoder.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
TAIL_BYTES = 1 << 14  # of a PNG, in which what stands behind the pixels begins
PNG_START, PNG_PIXELS = b"\x89PNG", b"IDAT"
JPEG_FRAME = re.compile(rb"\xff[\xc0-\xcf]\x00[\x0b\x11\x14][\x08\x0c]")  # a picture's, or a thumbnail's in EXIF
JPEG_MARKS = (b"Exif\0", b"tiff:Orientation")  # where EXIF's data begin, and in XMP the tag
PNG_MARKS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
VP8X, TAGGED = b"VP8X", 0x0C  # of WebP the header that says whether EXIF or XMP follow, and its bits that do
ORIENTATIONS = range(1, 9)
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


@dataclass(frozen=True, eq=False)
class ImageHeaders:
    """What the headers of n image files say.

    stored (n, 2) i64 are height and width as they are stored, 0 of files that cannot be read; orientations (n,)
    i64 the tags, 1 to 8, 1 where there is none; `errors` messages about files that cannot be read, by position.
    """

    stored: Int64
    orientations: Int64
    errors: dict[int, str]

    def sizes(self, exif: Exif) -> Int64:
        """The (n, 2) heights and widths that `read_image` gives."""
        return sizes_shown(self.stored, self.orientations) if exif == "apply" else self.stored


def sizes_shown(stored: Int64, orientations: Int64) -> Int64:
    """The heights and widths (n, 2) of images that their orientations (n,) have turned."""
    return np.where((orientations >= FIRST_TRANSPOSED)[:, None], stored[:, ::-1], stored)


def read_size(path: Path, exif: Exif = "ignore") -> tuple[int, int]:
    """The (height, width) that `read_image` would give, from the header and the end of the file alone.

    DataError names a file that cannot be opened or ends early.
    """
    height, width, orientation = read_header(path)
    turned = exif == "apply" and orientation >= FIRST_TRANSPOSED
    return (width, height) if turned else (height, width)


def read_header(path: Path) -> tuple[int, int, int]:
    """The height and width that are stored and the orientation tag, 1 to 8; errors as those of `read_size`."""
    head, tail, length = _ends(path)
    try:
        kind = kind_of(head)
        if not _is_ended(kind, head, tail, length):
            content = _read(path)
            height, width = _decode(content, path, "ignore").shape[:2]
            return height, width, _orientation(content, kind)
        if length > len(head) and _is_tagged_behind(kind, head, tail):
            return _header(_read(path), kind)
        try:
            return _header(head, kind)
        except Exception:  # the header is longer than the part read, or wrong
            return _header(_read(path), kind)
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


def read_headers(paths: Sequence[str]) -> ImageHeaders:
    """The headers of the images at `paths` (n), which are read on threads."""
    results = [entry for chunk in map_chunks(_try_headers, paths, "image sizes") for entry in chunk]
    errors = {position: entry for position, entry in enumerate(results) if isinstance(entry, str)}
    table = np.array([(0, 0, 1) if isinstance(entry, str) else entry for entry in results], np.int64)
    table = table.reshape(-1, 3)
    return ImageHeaders(table[:, :2], table[:, 2], errors)


def _try_headers(paths: Sequence[str]) -> list[tuple[int, int, int] | str]:
    return [_try_header(Path(path)) for path in paths]


def _try_header(path: Path) -> tuple[int, int, int] | str:
    try:
        return read_header(path)
    except DataError as error:
        return str(error)


def unreadable_images(paths: Sequence[str], exif: Exif = "ignore", thorough: bool = False) -> dict[int, str]:
    """Messages about the images that `read_image` refuses, or `check_image` where `thorough`, by position."""
    read = check_image if thorough else read_image
    tries = map_chunks(partial(_try_images, read, exif), paths, "images")
    messages = [message for chunk in tries for message in chunk]
    return {row: message for row, message in enumerate(messages) if message}


def _try_images(read: Callable[[Path, Exif], object], exif: Exif, paths: Sequence[str]) -> list[str]:
    return [_try_image(read, Path(path), exif) for path in paths]


def _try_image(read: Callable[[Path, Exif], object], path: Path, exif: Exif) -> str:
    try:
        read(path, exif)
    except DataError as error:
        return str(error)
    return ""


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
            file.seek(max(length - (TAIL_BYTES if head.startswith(PNG_START) else len(PNG_END)), 0))
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
        return turn(image, _orientation(content, kind)) if exif == "apply" else image
    except Exception as error:  # whatever the decoder of the format stumbles over
        raise _damaged(path, error) from None


def _header(content: bytes, kind: FileKind) -> tuple[int, int, int]:
    height, width = SIZES[kind](content)
    check_size(height, width)
    return height, width, _orientation(content, kind)


def _orientation(content: bytes, kind: FileKind) -> int:
    """The orientation tag, 1 to 8; 1 where it is missing, another number or no number."""
    if not _may_be_tagged(content, kind):  # Pillow takes long to say so
        return 1
    tag = orientation(content, kind)
    return tag if isinstance(tag, int) and tag in ORIENTATIONS else 1


def _may_be_tagged(content: bytes, kind: FileKind) -> bool:
    """Whether a file has EXIF's or XMP's data, told by where they begin."""
    match kind:
        case "JPEG":
            frame = JPEG_FRAME.search(content)
            return any(mark in content[: frame.start() if frame else None] for mark in JPEG_MARKS)
        case "PNG":
            ends = content[: content.find(PNG_PIXELS)], content[-TAIL_BYTES:]
            return any(mark in end for end in ends for mark in PNG_MARKS)
        case "WEBP":
            return content[12:16] == VP8X and bool(content[20] & TAGGED)
    return kind == "TIFF"


def _is_tagged_behind(kind: FileKind, head: bytes, tail: bytes) -> bool:
    """Whether the tags of a file may stand behind its pixels."""
    return _may_be_tagged(head, kind) if kind == "WEBP" else any(mark in tail for mark in PNG_MARKS)


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
