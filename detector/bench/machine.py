"""The machine while it is measured: clocks, memory, and what else runs on it."""

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from detector.parallel import worker_count

MIB = 2**20
BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # of /proc/stat: user, nice, system, irq, softirq, steal
DISTURBED = 0.05  # share of the cores that others may take unremarked


def synchronise(device: torch.device) -> None:
    """Wait until `device` has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_each(step: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Seconds that a step takes: the mean over as many as fill `seconds`, at least one."""
    count = 0
    synchronise(device)
    started = time.perf_counter()
    while True:
        step()
        synchronise(device)
        count += 1
        elapsed = time.perf_counter() - started
        if elapsed >= seconds:
            return elapsed / count


def peak_memory() -> float:
    """MiB that this process held at most: of the GPU where it uses one, else of memory, code and libraries too."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / MIB
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return held / MIB if sys.platform == "darwin" else held / 1024
    # not ru_maxrss, which a new process inherits from the one that started it
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@dataclass(frozen=True)
class Load:
    """The load of the last minute, before and after, and how many of the cores others took, None if not known."""

    before: float
    after: float
    foreign: float | None
    cores: int

    @property
    def is_disturbed(self) -> bool:
        """Whether others took so much that the numbers suffered."""
        taken = self.before / 2 if self.foreign is None else self.foreign
        return taken > DISTURBED * self.cores


@dataclass
class LoadWatch:
    """Watches the machine from its making on; what this process and its ended children use is not foreign."""

    before: float = field(default_factory=lambda: os.getloadavg()[0])
    started: float = field(default_factory=time.monotonic)
    busy: float | None = field(default_factory=lambda: _busy_seconds())
    own: float = field(default_factory=lambda: _own_seconds())

    def stop(self) -> Load:
        """What was seen."""
        busy, elapsed = _busy_seconds(), time.monotonic() - self.started
        foreign = None
        if busy is not None and self.busy is not None:
            foreign = max(busy - self.busy - (_own_seconds() - self.own), 0.0) / elapsed
        return Load(self.before, os.getloadavg()[0], foreign, worker_count(-1))


def _own_seconds() -> float:
    return sum(os.times()[:4])


def _busy_seconds() -> float | None:
    """Seconds that all cores worked since the machine started; None where that is not known."""
    try:
        words = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]
    except OSError:
        return None
    return sum(int(words[place]) for place in BUSY_FIELDS) / os.sysconf("SC_CLK_TCK")
