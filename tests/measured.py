"""What processes measure in the tests of the benchmark, in a module that they can import."""

import os
import signal

from detector.bench.rounds import Measure, Numbers


def steady() -> Measure:
    """Says what it was given, and which process it is."""
    return lambda seconds: {"seconds": seconds, "process": float(os.getpid())}


def broken() -> Measure:
    """Does not even open."""
    raise ValueError("no such engine\nat all")


def tiring() -> Measure:
    """Fails in its second round."""
    calls: list[float] = []

    def measure(seconds: float) -> Numbers:
        calls.append(seconds)
        if len(calls) == 3:  # the first is the warm-up
            raise RuntimeError("too hot")
        return {"seconds": seconds}

    return measure


def dying() -> Measure:
    """Is killed in its first round."""

    def measure(seconds: float) -> Numbers:
        if seconds:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"seconds": seconds}

    return measure
