"""Reading by Pillow, which is told the format, so that it asks none of its other readers.

Among these are such that hand the file to another program: PostScript to Ghostscript.
"""

import ctypes
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import PIL.Image

from detector.data.decoders.kinds import FileKind, check_size
from detector.records import Image

ORIENTATION_TAG = 0x0112
DEEP_MODES = ("I", "F")  # 32 bits a pixel

_warnings_lock = threading.Lock()


class UnknownHeader(ValueError):
    """The header is damaged, or of a kind that Pillow does not know."""


def load_pixels(content: bytes, kind: FileKind) -> Image:
    """The pixels (H, W, 3) uint8 RGB, of an animation the first picture; an error where they are damaged."""
    with open_header(content, kind) as image:
        check_size(image.height, image.width)
        image.load()
        return rgb(image)


def rgb(image: PIL.Image.Image) -> Image:
    """The pixels (H, W, 3) uint8 of an open image, writable; ValueError for more than 16 bits a channel."""
    if image.mode in DEEP_MODES:
        raise ValueError(f"it must have 1 to 16 bits a channel, got mode {image.mode}")
    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "P":  # the colour under transparency counts
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))  # asarray's could not be written to


def header_size(content: bytes, kind: FileKind) -> tuple[int, int]:
    """The (height, width) of an image, from its header."""
    with open_header(content, kind) as image:
        return image.height, image.width


def orientation(content: bytes, kind: FileKind) -> int:
    """The orientation tag, 1..8; 1 where there is none."""
    try:
        with open_header(content, kind) as image:
            return image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # a broken tag
        return 1


@contextmanager
def open_header(content: bytes, kind: FileKind) -> Iterator[PIL.Image.Image]:
    """The image in `content`, not decoded yet; UnknownHeader where Pillow cannot make anything of it."""
    with quiet():
        try:
            image = PIL.Image.open(io.BytesIO(content), formats=(kind,))
        except PIL.UnidentifiedImageError:
            raise UnknownHeader(f"its header is no {kind}'s that can be read") from None
        with image:
            yield image


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's remarks on odd files from the screen; one thread at a time, as the filters are shared."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _silence_libtiff() -> None:
    """Pillow's libtiff prints what is wrong without the file's name, where Pillow raises it as well."""
    with suppress(OSError, AttributeError):  # where libtiff is a part of Pillow's own library
        library = ctypes.CDLL(PIL.Image.core.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


_silence_libtiff()
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints its remarks where nobody listens
