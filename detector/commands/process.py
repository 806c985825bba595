"""The process of a command: its streams, its signals, and the line that tells its end."""

import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from detector.errors import ConfigError, DataError
from detector.text import one_line

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
NAMED = 3  # of several files, in a line
AGAIN = 0.1  # seconds until a signal that was not heard is sent again
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def prepare_streams() -> None:
    """Let stdout and stderr take any text, and be there: what they cannot show is written as escapes.

    A terminal may know ASCII alone, and names of files need not be UTF-8. A closed stream becomes the null device,
    since the next file that is opened would else take its place, and the warnings of C libraries go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - lasts as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C and SIGTERM raise KeyboardInterrupt; yields a function that says whether one came.

    The exception may arrive as another, since it is raised wherever Python happens to be: numba's kernels make a
    SystemError of it, imports an ImportError. In a destructor or a callback of C it is dropped: then the signal is
    sent again. Outside the main thread signals stay as they are.
    """
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def again() -> None:
        if active:
            os.kill(os.getpid(), came[-1])

    def dropped(unraisable: "sys.UnraisableHookArgs") -> None:
        if came and isinstance(unraisable.exc_value, KeyboardInterrupt):
            timer = threading.Timer(AGAIN, again)
            timer.daemon = True
            timer.start()
        else:
            hook(unraisable)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    active = True
    hook, sys.unraisablehook = sys.unraisablehook, dropped
    ignored = [number for number in INTERRUPTS if signal.getsignal(number) == signal.SIG_IGN]  # such as by nohup
    previous = {number: signal.signal(number, interrupt) for number in INTERRUPTS if number not in ignored}
    try:
        yield lambda: bool(came)
    finally:
        active = False
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def is_interrupt(error: BaseException, came: bool) -> bool:
    """Whether `error` ends a command because it was interrupted; `came` says whether a signal did."""
    if came and not isinstance(error, (ConfigError, DataError)):
        return True
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return False


def line_of(error: BaseException) -> str | None:
    """The line that tells an error of the user or the machine; None for a bug in the program."""
    if isinstance(error, (ConfigError, DataError)):
        return str(error)
    if _is_memory(error):
        return f"memory must be enough, got too little ({_first_line(error)})"
    if isinstance(error, RecursionError):
        return f"input must not nest without end, got what does ({_first_line(error)})"
    if isinstance(error, OSError):  # a full disk, a folder that may not be written
        return one_line(str(error))
    return None


def say(line: str) -> None:
    """Write a line to stderr, if that is possible."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def say_left(names: Sequence[str], what: str, folder: Path) -> None:
    """Tell which files of earlier results, or of others, were left beside the new ones, if there are any."""
    if names:
        few = ", ".join([*names[:NAMED], *(["..."] if len(names) > NAMED else [])])
        say(one_line(f"left as they are: {len(names)} other {what} in {folder}: {few}"))


def reader_has_gone() -> bool:
    """Whether stdout leads into a pipe that nobody reads any more, as after `| head`."""
    try:
        pipe = select.poll()
        pipe.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in pipe.poll(0))
    except (OSError, ValueError, AttributeError):  # no file, or a system without poll
        return False


def silence(stream: TextIO) -> None:
    """Discard what is still to be written to `stream`: its reader has gone, or its disk is full."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def keep_freed_memory() -> None:
    """Have glibc keep what is freed: a network's large maps are else fetched from the system again, page by page.

    Training on a CPU spends about half of its time on that: see benchmarks/freed_memory.md.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)


def _is_memory(error: BaseException) -> bool:
    """Whether memory was too little, as Python, torch on a GPU and torch on a CPU say it."""
    words = ("DefaultCPUAllocator", "can't start new thread")
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(word in str(error) for word in words))
    )


def _first_line(error: BaseException) -> str:
    return one_line(str(error).strip().partition("\n")[0] or type(error).__name__, 200)
