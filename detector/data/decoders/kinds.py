"""Which format a file is in, told by its first bytes and not by its name."""

from typing import Literal

FileKind = Literal["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]

KINDS: tuple[FileKind, ...] = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
STARTS: tuple[tuple[bytes, FileKind], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
)
# Pillow's own limit, twice its MAX_IMAGE_PIXELS: 13,377 x 13,377, 512 MiB decoded
MOST_PIXELS = 178_956_970


def kind_of(head: bytes) -> FileKind:
    """The format of a file that begins with `head`; ValueError where it is none of `KINDS`."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    for start, kind in STARTS:
        if head.startswith(start):
            return kind
    raise ValueError(f"it is none of {', '.join(KINDS)}" if head else "it is empty")


def check_size(height: int, width: int) -> None:
    """ValueError for an image without pixels, or of more than `MOST_PIXELS`."""
    if not 0 < height * width <= MOST_PIXELS:
        raise ValueError(f"it must have 1 to {MOST_PIXELS:,} pixels, got {width} x {height}")
