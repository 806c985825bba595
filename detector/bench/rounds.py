"""Candidates measured in turn, each in a process of its own: memory is its own, and none disturbs another."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from detector.bench.machine import peak_memory
from detector.progress import progress_bar

Numbers = dict[str, float]
Measure = Callable[[float], Numbers]  # of the seconds to spend
PATIENCE = 5.0  # seconds for a process to end by itself, once it is no longer asked


@dataclass(frozen=True)
class Candidate:
    """What is measured: `open` is called once, in the candidate's process, and must be picklable."""

    name: str
    open: Callable[[], Measure]


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, and their extremes."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return Spread(float(np.median(values)), float(min(values)), float(max(values)))


@dataclass(frozen=True)
class RoundOutcome:
    """What a candidate gave in each round, and the MiB it held at most; `failure` is one line where it failed."""

    name: str
    rounds: tuple[Numbers, ...]
    memory: float
    failure: str = ""

    def rates(self, key: str, units: float = 1.0) -> list[float]:
        """`units` over the seconds called `key`, of each round."""
        return [units / each[key] for each in self.rounds]


def run_rounds(candidates: Sequence[Candidate], seconds: float, rounds: int, label: str) -> list[RoundOutcome]:
    """Give every candidate its turn of about `seconds` in each round, every second round in reverse.

    A candidate that fails is left out of further rounds; the others go on.
    """
    with ExitStack() as stack:
        workers = []
        for candidate in progress_bar(candidates, desc=f"{label}: start", unit="process", leave=False):
            workers.append(stack.enter_context(_worker(candidate)))
        with progress_bar(total=rounds * len(workers), desc=label, unit="turn", leave=False) as turns:
            for number in range(rounds):
                for worker in workers if number % 2 == 0 else reversed(workers):
                    worker.measure(seconds)
                    turns.update()
    return [worker.outcome() for worker in workers]


def median_ratio(own: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios of each round; what slows a whole round down cancels."""
    return float(np.median([a / b for a, b in zip(own, other, strict=False)]))


class _Answer(NamedTuple):
    numbers: Numbers
    memory: float
    failure: str = ""


@dataclass
class _Worker:
    """The parent's end of a candidate's process."""

    name: str
    connection: Connection
    failure: str = ""
    memory: float = 0.0
    rounds: list[Numbers] = field(default_factory=list)

    def measure(self, seconds: float) -> None:
        """One round, unless it failed before."""
        if not self.failure:
            numbers = self.ask(seconds)
            self.rounds += [numbers] if numbers else []

    def ask(self, seconds: float | None = None) -> Numbers:
        """The answer to `seconds`, or without them to having been started."""
        try:
            if seconds is not None:
                self.connection.send(seconds)
            answer = self.connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            answer = _Answer({}, self.memory, "its process was killed, perhaps for want of memory")
        self.failure = answer.failure
        self.memory = max(self.memory, answer.memory)
        return answer.numbers

    def outcome(self) -> RoundOutcome:
        """All rounds."""
        return RoundOutcome(self.name, tuple(self.rounds), self.memory, self.failure)


@contextmanager
def _worker(candidate: Candidate) -> Iterator[_Worker]:
    """A process that is ready to measure; it ends with the context, or with this process."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(candidate.open, theirs), name=candidate.name)
    with _interrupts_ignored():
        process.start()
    theirs.close()
    worker = _Worker(candidate.name, ours)
    try:
        worker.ask()
        yield worker
    finally:
        ours.close()
        process.join(PATIENCE)
        process.terminate()
        process.join()


def _serve(open_measure: Callable[[], Measure], connection: Connection) -> None:
    """The process of a candidate: warm up, then measure whenever asked, until the parent is gone."""
    logging.disable(logging.WARNING)  # compilers' remarks on what this machine lacks
    try:
        measure = open_measure()
        measure(0.0)
        connection.send(_Answer({}, peak_memory()))
        while True:
            seconds = connection.recv()
            connection.send(_Answer(measure(seconds), peak_memory()))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # whatever an engine stumbles over: the others are measured all the same
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        connection.send(_Answer({}, 0.0, reason))


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A process started within never sees Ctrl-C: its parent does, and ends it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
