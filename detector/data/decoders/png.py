"""PNG: decoded by OpenCV, after its check sums are seen to be right.

libpng is given the chunks that make the picture alone: it prints remarks on others, such as colour profiles. What
OpenCV refuses may be whole all the same; Pillow, which then reads it, fills rows that are missing with black.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from detector.data.decoders.kinds import check_size
from detector.data.decoders.opencv import decode_by_opencv
from detector.data.decoders.pillow import load_pixels
from detector.records import Image

START = b"\x89PNG\r\n\x1a\n"
HEADER, PALETTE, PIXELS, END = b"IHDR", b"PLTE", b"IDAT", b"IEND"
END_CHUNK = b"IEND\xaeB`\x82"  # its type and check sum; it holds nothing
NEEDED = (HEADER, PALETTE, PIXELS, END)
DEPTH, COLOUR, INTERLACE = 24, 25, 28  # bytes of a file, in its header
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the header's colour type
PALETTED = 3  # the colour type
# of the seven passes of an interlaced file: the first row and column, and the steps to the next
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
WHOLE = ((0, 0, 1, 1),)
HEAD, TAIL = 8, 4  # bytes of a chunk: length and type before its data, a check sum after them


class PngChunk(NamedTuple):
    """A part of the file: its type, all its bytes, and whether its check sum is right."""

    kind: bytes
    whole: memoryview
    right: bool


def decode_png(content: bytes) -> Image:
    """The pixels (H, W, 3) uint8 RGB of a PNG, 16 bits scaled to 8; ValueError where a chunk is damaged."""
    check_size(*png_size(content))
    chunks = list(_chunks(content))
    if not chunks or chunks[-1].kind != END:
        return load_pixels(content, "PNG")  # it ends early: Pillow refuses it where pixels are missing
    _require_palette(content, chunks)
    needed = b"".join([START, *(chunk.whole for chunk in chunks if chunk.kind in NEEDED)])
    image = None
    if all(chunk.right for chunk in chunks):
        image = decode_by_opencv(needed)
    if image is None:
        _require_rows(content, chunks)
        image = load_pixels(needed, "PNG")
    return image


def png_size(content: bytes) -> tuple[int, int]:
    """The (height, width) that a PNG's header states."""
    if content[12:16] != HEADER or len(content) < 24:
        raise ValueError("it begins without a header")
    return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")


def _require_palette(content: bytes, chunks: Sequence[PngChunk]) -> None:
    if content[COLOUR] == PALETTED and all(chunk.kind != PALETTE for chunk in chunks):
        raise ValueError("it has no palette")


def _require_rows(content: bytes, chunks: Sequence[PngChunk]) -> None:
    """ValueError where the pixels are damaged, or fewer than the header states (PNG 1.2, 2.3 and 2.6)."""
    height, width = png_size(content)
    bits, size = CHANNELS.get(content[COLOUR], 0) * content[DEPTH], 0
    for row, column, down, across in PASSES if content[INTERLACE] else WHOLE:
        rows, columns = -((row - height) // down), -((column - width) // across)
        size += rows * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
    data = b"".join(chunk.whole[HEAD:-TAIL] for chunk in chunks if chunk.kind == PIXELS)
    try:
        got = len(zlib.decompressobj().decompress(data, size))
    except zlib.error as error:
        raise ValueError(f"its pixels are damaged: {error}") from None
    if got < size:
        raise ValueError(f"its pixels end early: {got} of {size} bytes")


def _chunks(content: bytes) -> Iterator[PngChunk]:
    """The chunks up to the end, as far as they are there whole; ValueError for a damaged one of the picture's."""
    view, at = memoryview(content), len(START)
    while at + HEAD + TAIL <= len(content):
        end = at + HEAD + int.from_bytes(content[at : at + 4], "big") + TAIL
        if end > len(content):
            return
        kind = content[at + 4 : at + 8]
        right = zlib.crc32(view[at + 4 : end - TAIL]) == int.from_bytes(content[end - TAIL : end], "big")
        if kind in NEEDED and not right:
            raise ValueError(f"its {kind.decode()} chunk at byte {at} is damaged")
        yield PngChunk(kind, view[at:end], right)
        if kind == END:
            return
        at = end
