"""TIFF: 8 bits by Pillow, which notices damage; 16 by OpenCV, which keeps the upper half; more are refused."""

import io
from collections.abc import Sequence

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from detector.data.decoders.kinds import check_size
from detector.data.decoders.opencv import decode_by_opencv, decode_under_alpha
from detector.data.decoders.orientation import BACK, turn
from detector.data.decoders.pillow import UnknownHeader, load_pixels, quiet
from detector.records import Image

WIDTH, HEIGHT, BITS, ORIENTATION, EXTRA, SAMPLES = 256, 257, 258, 274, 338, 339  # tags (TIFF 6.0, section 8)
ALPHA = 2  # of the tag EXTRA: the colours are not multiplied by it
UNSIGNED, UNDEFINED = 1, 4  # of the tag SAMPLES
MOST_BITS = 16  # a channel
HEAD, BIG_HEAD, BIG = 8, 16, 43  # bytes of a header, of BigTIFF's, and the number that tells this


def decode_tiff(content: bytes) -> Image:
    """The pixels (H, W, 3) uint8 RGB of a TIFF's first page as they are stored; ValueError for what is damaged.

    So for signed and floating-point numbers, whose black and white nobody states.
    """
    tags = _first_directory(content)
    check_size(*_size(tags))
    bits = _numbers(tags, BITS)
    orientation = int(tags.get(ORIENTATION, 1))  # obeyed by both decoders
    has_alpha = EXTRA in tags and ALPHA in _numbers(tags, EXTRA)
    image = turn(_decode(content, max(bits) > 8, has_alpha), BACK.get(orientation, orientation))
    if image.shape[:2] != _size(tags):
        raise ValueError("its tags contradict each other")
    return image


def tiff_size(content: bytes) -> tuple[int, int]:
    """The (height, width) of a TIFF's first page as it is stored; ValueError as above."""
    return _size(_first_directory(content))


def _decode(content: bytes, deep: bool, has_alpha: bool) -> Image:
    """The pixels by Pillow, which tells of damage, or by OpenCV: the `deep` ones and what Pillow does not know."""
    try:
        image = load_pixels(content, "TIFF")
    except UnknownHeader:
        deep = True
    if deep:
        decoded = decode_under_alpha(content) if has_alpha else None
        if decoded is None:
            decoded = decode_by_opencv(content)
        if decoded is None:
            raise ValueError("no decoder knows its kind of TIFF")
        return decoded
    return image


def _first_directory(content: bytes) -> ImageFileDirectory_v2:
    head = content[: BIG_HEAD if content[2:4].strip(b"\0") == b"+" else HEAD]
    tags = ImageFileDirectory_v2(head)
    file = io.BytesIO(content)
    file.seek(tags.next)
    with quiet():
        tags.load(file)
    _check_samples(_numbers(tags, BITS), _numbers(tags, SAMPLES))
    return tags


def _check_samples(bits: Sequence[int], samples: Sequence[int]) -> None:
    unsigned = set(samples) <= {UNSIGNED, UNDEFINED}
    if max(bits) > MOST_BITS or not unsigned:
        got = f"{max(bits)} {'unsigned' if unsigned else 'signed or floating-point'}"
        raise ValueError(f"it must have 1 to {MOST_BITS} unsigned bits a channel, got {got}")


def _size(tags: ImageFileDirectory_v2) -> tuple[int, int]:
    if HEIGHT not in tags or WIDTH not in tags:
        raise ValueError("it states no size")
    return int(tags[HEIGHT]), int(tags[WIDTH])


def _numbers(tags: ImageFileDirectory_v2, tag: int) -> tuple[int, ...]:
    """The values of a tag, one a channel; 1 where it is missing, as TIFF wants it."""
    values = tags.get(tag, (1,))
    return tuple(values) if isinstance(values, tuple) else (values,)
