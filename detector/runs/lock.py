"""One process, or one group of processes, at work in a folder at a time.

The lock is the system's own on the file FOLDER/.detector.lock (POSIX record locks by fcntl, which network file
systems pass on to their server). It goes when its owner dies, however it dies; processes that the owner forked
neither hold it nor release it. The system would release it as soon as its owner closed the file a second time:
so nothing here opens the file of a lock that this process holds.

Of a group each process of rank r holds the byte r. The first begins by taking all bytes, which it gets only where
no process of another group is left, be it the first one or not. Who leaves last removes the file.
"""

import errno
import json
import os
import shlex
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from detector.errors import DataError
from detector.files import OWN_LEFTOVER, remove_leftovers, unwritable
from detector.text import one_line

if TYPE_CHECKING:  # it needs torch, which commands without a group do not load
    from detector.runs.processes import Group

try:
    import fcntl
except ImportError:  # another system than Unix
    fcntl = None  # type: ignore[assignment]

LOCK = ".detector.lock"
LONGEST_COMMAND = 300  # characters
LONGEST_RECORD = 4096  # bytes of the file that are read
TAKEN = (errno.EACCES, errno.EAGAIN)
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
FLOCK = struct.Struct("hhqqi4x")  # of 64-bit Linux: type, whence, start, length, process

_held: dict[Path, int] = {}  # the folders locked by this process, which a forked one inherits: hence its number


class FolderLock:
    """The lock of `folder`, taken by `take` and released at the end of a `with` statement.

    `clean` is called once nobody else is at work in the folder; by default it removes temporary files that killed
    processes left there.
    """

    def __init__(self, folder: Path, clean: Callable[[], None] | None = None) -> None:
        self.folder = folder
        self.path = folder / LOCK
        self._clean = clean or (lambda: remove_leftovers(folder, OWN_LEFTOVER))
        self._file: int | None = None
        self._made: list[Path] = []

    def take(self, group: "Group | None" = None) -> None:
        """Lock the folder, which is made; DataError says who is at work in it.

        Every process of a group must call this; the first alone tells the error. Where the file system has no
        locks, that is noted, and others may be at work.
        """
        if group is None or group.world == 1:
            self._take_all()
            return
        group.do_first(self._take_all)
        if group.is_first and self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 0, 1)  # the bytes of the others
        group.wait()
        if not group.is_first:
            self._take(1, group.rank)
        group.wait()

    def release(self) -> None:
        """Let others work in the folder; it goes if it was made for this and holds nothing."""
        if self._file is not None:
            _held.pop(self.folder.resolve(), None)
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN)
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where others of the group are left
                if _is_at(self.path, self._file):
                    self.path.unlink()
            os.close(self._file)
            self._file = None
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take_all(self) -> None:
        if self._take(0, 0):
            self._clean()

    def _take(self, length: int, start: int) -> bool:
        """Lock `length` bytes (0: all) from `start` on; False where there are no locks."""
        self._made += _make_folder(self.folder)
        if _held.get(self.folder.resolve()) == os.getpid():
            raise DataError(f"{self.folder} must be free, got this very process at work in it")
        if fcntl is None:
            return _note_no_locks(self.folder, "this system has none")
        try:
            self._file = self._lock(length, start)
            if start == 0:
                _write_record(self._file)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise unwritable(self.path, error) from None
            self.path.unlink(missing_ok=True)
            return _note_no_locks(self.folder, error.strerror)
        _held[self.folder.resolve()] = os.getpid()
        return True

    def _lock(self, length: int, start: int) -> int:
        """The open file, locked. One that another process removed meanwhile is none."""
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
                if _is_at(self.path, file):
                    return file
            except OSError as error:
                reason = _owner(file) if error.errno in TAKEN else None
                os.close(file)
                if reason is None:
                    raise
                raise DataError(f"{self.folder} must be free, got {reason}") from None
            os.close(file)


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Alone at work in a folder of results; DataError says who is there already."""
    with FolderLock(folder) as lock:
        lock.take()
        yield


def _make_folder(folder: Path) -> list[Path]:
    """Make `folder`; those that were made, itself first."""
    try:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise unwritable(folder, error) from None
    return missing


def _is_at(path: Path, file: int) -> bool:
    """Whether the open `file` is still the one called so."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _write_record(file: int) -> None:
    """Write who works here into the locked file."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    record = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": one_line(shlex.join(words), LONGEST_COMMAND),
    }
    os.ftruncate(file, 0)
    os.pwrite(file, (json.dumps(record) + "\n").encode(), 0)


def _owner(file: int) -> str:
    """Who holds the lock of the open file, in words: by its record, and by the system where it is of this host."""
    record = _read_record(file)
    process, host, command = record.get("process"), record.get("host"), record.get("command")
    if host == socket.gethostname():
        process = _holder(file) or process
    if process is None:
        return "another process at work in it"
    return f"process {process} on {host} at work in it since {record.get('since')} ({command})"


def _read_record(file: int) -> dict[str, Any]:
    try:
        record = json.loads(os.pread(file, LONGEST_RECORD, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _holder(file: int) -> int:
    """The number of a process that holds a lock of the open file; 0 where the system does not tell."""
    if sys.platform != "linux" or struct.calcsize("P") != 8:
        return 0
    with suppress(OSError):
        found = fcntl.fcntl(file, fcntl.F_GETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        kind, _, _, _, process = FLOCK.unpack(found)
        return max(process, 0) if kind != fcntl.F_UNLCK else 0
    return 0


def _note_no_locks(folder: Path, reason: str | None) -> bool:
    """Say that nothing keeps others out of `folder`; False."""
    tqdm.write(f"note: {folder} cannot be locked ({reason}): keep other processes out of it", file=sys.stderr)
    return False
