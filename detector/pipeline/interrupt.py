"""Interrupting long work only where its state is whole."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Within, the first interrupt (Ctrl-C, SIGTERM) is only noted, a second one raises KeyboardInterrupt at once.

    Yields a function that says whether there was one. Outside the main thread interrupts stay as they are. What
    goes wrong after one is taken for its consequence, such as worker processes that it has ended.
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
    previous = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: noted
    except Exception as error:
        if noted:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
