"""JPEG: decoded by libjpeg-turbo, whose warnings are heard, where OpenCV prints them and fills what is missing."""

import simplejpeg

from detector.data.decoders.jpeg_damage import NotExamined, find_damage, frame_size, is_progressive
from detector.data.decoders.kinds import check_size
from detector.data.decoders.pillow import load_pixels
from detector.records import Image

END = b"\xff\xd9"
PIXELS_A_BYTE = 2048  # at most: a block takes a bit, and no component has less than one for 16 x 16 pixels


def decode_jpeg(content: bytes) -> Image:
    """The pixels (H, W, 3) uint8 RGB of a JPEG; ValueError where libjpeg notices that a part of them is missing.

    An end mark that is missing, or bytes behind it, do no harm.
    """
    height, width = frame_size(content)
    check_size(height, width)
    if height * width > PIXELS_A_BYTE * len(content):
        raise ValueError("its data are damaged: too few bytes for its size")
    whole = _ended(content)
    image, warning = _decode(whole)
    # without its end mark a progressive file may lack whole scans, which libjpeg takes for a coarser picture
    if warning or (whole is not content and is_progressive(content)):
        _require_whole(whole, warning)
    if image is None:  # libjpeg disliked what does no harm, of which Pillow does not hear
        image = load_pixels(whole, "JPEG")
    return image


def require_undamaged(content: bytes) -> None:
    """ValueError for damage of a JPEG that `decode_jpeg` overlooks: see `jpeg_damage`."""
    _require_whole(_ended(content), "")


def _ended(content: bytes) -> bytes:
    return content if content.endswith(END) else content + END


def _decode(content: bytes) -> tuple[Image | None, str]:
    """The pixels, or what libjpeg warned of."""
    try:
        return simplejpeg.decode_jpeg(content), ""
    except ValueError as error:
        return None, str(error)


def _require_whole(content: bytes, warning: str) -> None:
    """ValueError with the damage; what cannot be examined is judged by libjpeg's `warning`, "" for none."""
    try:
        damage = find_damage(content)
    except NotExamined:
        damage = warning
    if damage:
        raise ValueError(f"its data are damaged: {damage}")
