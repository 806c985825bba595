"""Pictures beside results: those of a command, told from others' by a mark, go with the results they belong to."""

import hashlib
import re
from contextlib import suppress
from pathlib import Path

from detector.errors import DataError
from detector.files import fitting_name, read_bytes, write_bytes

NAME = re.compile(r"-?[0-9]{5,}_.*\.jpg", re.DOTALL)
HEAD = 128  # bytes of a JPEG, in which the mark stands
COMMENT = b"\xff\xfe"  # marker of a JPEG's segment (ITU-T T.81, B.2.4.5); two bytes of its length follow
MARK = b"drawn by detector "


class PictureFolder:
    """The folder of a command's JPEGs, called NUMBER_NAME.jpg.

    Each holds a hash of the rest of it in a comment: one that was changed, or drawn by others, is left as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.earlier = set[str]()
        with suppress(OSError):  # no folder
            self.earlier = {path.name for path in folder.iterdir() if NAME.fullmatch(path.name)}

    def write(self, name: str, content: bytes) -> None:
        """Write a JPEG, in place of an earlier one of that name; a failure of the disk is a DataError."""
        write_bytes(self.folder / name, _marked(content))
        self.earlier.discard(name)

    def remove_earlier(self) -> list[str]:
        """Delete what was drawn for earlier results; the names of further pictures that lie there, sorted."""
        left = []
        for name in sorted(self.earlier):
            if _is_own(self.folder / name):
                with suppress(OSError):
                    (self.folder / name).unlink()
                    continue
            left.append(name)
        return left


def picture_name(number: int, file: str, frame: int | None = None) -> str:
    """What the drawn picture of an image, or of a video's `frame`, is called; a long name loses its end.

    `number` is the image's id, or its place from 1 where ids are text.
    """
    of_video = "" if frame is None else f"_{frame:06d}"
    return fitting_name(f"{number:06d}_", Path(file).stem, f"{of_video}.jpg")


def is_drawn(path: Path) -> bool:
    """Whether a picture is called and marked as those drawn here, be it changed since or not."""
    if not NAME.fullmatch(path.name):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError):
        return False
    at = _mark_place(head)
    return head[at : at + len(COMMENT)] == COMMENT and head[at + 4 :].startswith(MARK)


def _marked(content: bytes) -> bytes:
    at = _mark_place(content)
    return content[:at] + _mark(content) + content[at:]


def _mark(content: bytes) -> bytes:
    text = MARK + hashlib.sha256(content).hexdigest().encode()
    return COMMENT + (len(text) + 2).to_bytes(2, "big") + text


def _mark_place(content: bytes) -> int:
    """Behind the first segment, JFIF's, which follows the two bytes of the start."""
    return 4 + int.from_bytes(content[4:6], "big")


def _is_own(path: Path) -> bool:
    """Whether a picture is as it was written here."""
    try:
        content = b"" if path.is_symlink() else read_bytes(path, "picture")
    except DataError:
        return False
    at = _mark_place(content)
    rest = content[:at] + content[at + len(_mark(b"")) :]
    return content == _marked(rest)
