"""Interrupting long work only where its state is whole."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from detector.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Within, the first interrupt (Ctrl-C, SIGTERM) is only noted, a second one raises KeyboardInterrupt at once.

    Yields a function that says whether there was one. Outside the main thread interrupts stay as they are, as do
    those that the process was started to ignore. An error after an interrupt becomes a KeyboardInterrupt, as it
    likely follows from it (worker processes end, too); only a UserError, such as a full disk, is raised as it is.
    """
    noted = False

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal noted
        if noted:
            raise KeyboardInterrupt
        noted = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, note) for number in heard}
    try:
        yield lambda: noted
    except Exception as error:
        if noted and not isinstance(error, UserError):
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
