"""Files: reading what others wrote, and writing so that a kill or a full disk never leaves half of one.

Whatever comes from outside is read here: a file must be a regular one (a pipe or a device would never end), a
byte order mark is no part of the text, JSON gives each key once. What is wrong is a DataError that names the
file. Text that UTF-8 cannot hold, such as the names of files that are not UTF-8, is written as escapes.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TextIO

from detector.errors import DataError
from detector.text import shown

ESCAPE = "backslashreplace"
LONGEST_NAME = 255  # bytes of a file's name
TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".", ".tmp"
# What killed writers leave: ours, and in folders of weights safetensors' own temporary files too.
OWN_LEFTOVER = re.compile(r"\..*\.[a-z0-9_]{8}\.tmp", re.DOTALL)
LEFTOVER = re.compile(rf"{OWN_LEFTOVER.pattern}|\.tmp[A-Za-z0-9]{{6}}", re.DOTALL)


def path_of(given: object, wanted: str) -> Path:
    """The path that a caller gave, as text or a path; DataError says what is `wanted` instead."""
    text = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(text, str) or not text:
        raise DataError(f"{wanted}, got {shown(given)}")
    return Path(text)


def require_file(path: Path, what: str) -> Path:
    """`path` if it is a regular file; else DataError "WHAT must be a readable file, got PATH (why)"."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a third of the time of Path.stat
    except OSError as error:
        raise unreadable(path, what, error.strerror) from None
    except ValueError:  # NUL in the name
        raise unreadable(path, what, "no file can be called so") from None
    if not stat.S_ISREG(mode):
        raise unreadable(path, what, "it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
    return path


def read_bytes(path: Path, what: str) -> bytes:
    """The content of a regular file; DataError calls it `what`."""
    require_file(path, what)
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a third of the time of Path.read_bytes
            return file.read()
    except OSError as error:
        raise unreadable(path, what, error.strerror) from None


def file_hash(path: Path) -> str:
    """A short hash of the bytes of a regular file; DataError where it cannot be read."""
    require_file(path, "file")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise unreadable(path, "file", error.strerror) from None


def read_text(path: Path, what: str) -> str:
    """The text of a UTF-8 file, without a byte order mark, lines ended by \\n; DataError calls it `what`."""
    try:
        text = read_bytes(path, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(path, what, f"it is not UTF-8 at byte {error.start}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, what: str) -> Any:
    """The value of a JSON file; DataError calls it `what` and says what is no JSON in it."""
    return parse_json(read_text(path, what), what, str(path))


def parse_json(text: str, what: str, where: str) -> Any:
    """The JSON value in `text`; DataError for what is none, nests without end, or gives a key twice.

    NaN and Infinity, which are no JSON but written by many, are numbers: who reads a field says what it must be.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except RecursionError:
        reason = "it nests too deeply"
    except ValueError as error:
        reason = "a number has too many digits" if "integer string conversion" in str(error) else str(error)
    raise DataError(f"{what} must be valid JSON, got {where} ({reason})")


def unreadable(path: Path, what: str, reason: object) -> DataError:
    """The error about a file that cannot be read, for the reason given."""
    return DataError(f"{what} must be a readable file, got {path} ({reason})")


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving, what was written there takes the name `path`.

    Parent folders are made. On an error nothing is left behind and what stood at `path` is kept; a failure of
    the disk (full, read-only) becomes a DataError that names the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name of the file may fill what a name may be long; so only its beginning goes into the temporary one.
        prefix = f"{TEMPORARY_PREFIX}{os.fsdecode(os.fsencode(path.name)[:100])}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=TEMPORARY_SUFFIX, dir=path.parent)
        os.close(handle)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: Exception) -> DataError:
    """The error about a file that cannot be written because of `error`."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return DataError(f"{path} must be writable ({reason})")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path`, whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all."""
    with write_atomically(path) as temporary, open_text(temporary) as file:
        file.write(text)


def share_file(source: Path, path: Path) -> None:
    """Give the file `source` the further name `path`; where the file system has no links, a copy has it.

    What is appended to one is in the other, and what replaces one leaves the other as it is.
    """
    with suppress(OSError):
        if source.samefile(path):
            return
    with write_atomically(path) as temporary:
        try:
            temporary.unlink()
            temporary.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, temporary)


@contextmanager
def open_text(path: Path, mode: Literal["w", "a"] = "w") -> Iterator[TextIO]:
    """A UTF-8 text file to write (`mode` w) or append to (a), with lines ended as they are written.

    A failure of the disk is a DataError that names the file.
    """
    try:
        with path.open(mode, encoding="utf-8", errors=ESCAPE, newline="") as file:
            yield file
    except OSError as error:
        raise unwritable(path, error) from None


def append_text(path: Path, text: str) -> None:
    """Add `text` to the end of `path`, whose folder is made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None
    with open_text(path, "a") as file:
        file.write(text)


def remove_leftovers(folder: Path, pattern: re.Pattern[str] = LEFTOVER, older_than: float = 0) -> None:
    """Delete the temporary files in `folder` that killed writers left, of names that match `pattern`.

    Nobody may be writing there, or nobody for as long as `older_than` seconds.
    """
    newest = time.time() - older_than
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    if not older_than or entry.stat().st_mtime < newest:
                        os.unlink(entry.path)  # noqa: PTH108 - a DirEntry is no Path


def fitting_name(start: str, stem: str, end: str) -> str:
    """A file's name of three parts, of which `stem` loses its end where the name would be too long."""
    while len(os.fsencode(start + stem + end)) > LONGEST_NAME:
        stem = stem[:-1]
    return start + stem + end


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of a JSON text; ValueError for a key that comes twice, of which json would keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} comes twice in an object")
    return found


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
