"""Video files before a decoder sees them: which container it is, and whether its end is there.

FFmpeg opens playlists too, which name other files and addresses; only files that hold pictures pass.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from detector.files import require_file, unreadable

Container = Literal["AVI", "MP4", "Matroska", "MPEG", "ASF", "FLV", "Ogg", "Y4M", "IVF", "MJPEG"]

CONTAINERS = "AVI, MP4 or QuickTime, Matroska or WebM, MPEG, ASF (WMV), FLV, Ogg, Y4M, IVF, MJPEG"
STARTS: tuple[tuple[bytes, Container], ...] = (
    (b"\x1aE\xdf\xa3", "Matroska"),
    (b"\0\0\1\xba", "MPEG"),  # program stream
    (b"\0\0\1\xb3", "MPEG"),  # video alone
    (b"0&\xb2u\x8ef\xcf\x11", "ASF"),
    (b"FLV\1", "FLV"),
    (b"OggS", "Ogg"),
    (b"YUV4MPEG2 ", "Y4M"),
    (b"DKIF", "IVF"),
    (b"\xff\xd8\xff", "MJPEG"),
)
BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")  # that an MP4 may begin with
STILL_BRANDS = (b"avif", b"heic", b"heix", b"mif1")  # of such files that hold a photograph (ISO 23008-12, 10.2)
PACKET, SYNC = 188, 0x47  # bytes of an MPEG transport stream's packet, the first of them; M2TS has 4 before
SEGMENT = b"\x18S\x80g"  # the element of a Matroska file that holds all but the header
MOST_BOXES = 100_000
HEAD_BYTES = 1024


def container_of(path: Path) -> Container:
    """The container of a video file; DataError where it is none of `CONTAINERS`, or no file at all."""
    require_file(path, "video")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise unreadable(path, "video", error.strerror) from None
    if head[4:8] == BOXES[0] and head[8:12] in STILL_BRANDS:
        raise unreadable(path, "video", "it is a still image, AVIF or HEIC, which are not read")
    found = _container(head)
    if found is None:
        raise unreadable(path, "video", f"it is none of {CONTAINERS}" if head else "it is empty")
    return found


def is_cut(path: Path, container: Container) -> bool:
    """Whether a file ends before what its container says it holds; False where that is not said."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            return any(end > length for end in _ends(file, container, length))
    except OSError:
        return False


def _container(head: bytes) -> Container | None:
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[4:8] in BOXES:
        return "MP4"
    for first in (0, 4):
        if len(head) > first + 2 * PACKET and head[first] == SYNC == head[first + PACKET + first]:
            return "MPEG"
    return next((container for start, container in STARTS if head.startswith(start)), None)


def _ends(file: BinaryIO, container: Container, length: int) -> Iterator[int]:
    """Where the outermost parts of a file end by what their headers say."""
    at = 0
    for _ in range(MOST_BOXES):
        if at >= length or container not in ("AVI", "MP4", "Matroska"):
            return
        file.seek(at)
        head = file.read(16)
        size = _riff(head) if container == "AVI" else _box(head) if container == "MP4" else _element(head)
        if not size:
            return
        at += size
        yield at


def _riff(head: bytes) -> int:
    """The length of a RIFF chunk with its header; 0 for what is none, or was never finished."""
    size = int.from_bytes(head[4:8], "little")
    return 8 + size + size % 2 if head.startswith(b"RIFF") and size else 0


def _box(head: bytes) -> int:
    """The length of an MP4's box; 0 for the last one, which may leave it open."""
    size = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:16].ljust(8, b"\xff"), "big") if size == 1 else size


def _element(head: bytes) -> int:
    """The length of an EBML header or a Matroska segment with its own header; 0 for others, and open ones."""
    if not head.startswith((SEGMENT, b"\x1aE\xdf\xa3")) or not head[4]:
        return 0
    count = 9 - head[4].bit_length()  # bytes of the size, told by the first bit that is set
    size = int.from_bytes(head[4 : 4 + count], "big") & ((1 << 7 * count) - 1)
    return 0 if size == (1 << 7 * count) - 1 else 4 + count + size
