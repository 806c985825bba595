"""Processes that train together, as `torchrun` starts them; without it there is one."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import distributed

from detector.errors import AlreadyTold, DataError
from detector.networks.device import choose_device
from detector.networks.transfers import Arrival, transfers_of
from detector.parallel import worker_count

Value = TypeVar("Value")

PATIENCE = timedelta(days=7)  # to wait for a slower process; when one dies, torchrun ends the others


@dataclass(frozen=True)
class Group:
    """This process's place among all, rank 0..world - 1, and its device. All processes must call a method."""

    rank: int
    world: int
    device: torch.device
    neighbours: int = 1  # processes on this machine, this one included

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and shows progress."""
        return self.rank == 0

    def workers(self, workers: int) -> int:
        """`workers`, or for -1 this process's share of the machine's cores."""
        return workers if workers >= 0 else max(1, worker_count(workers) // self.neighbours)

    def from_first(self, value: Value) -> Value:
        """The first process's `value`."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]

    def do_first(self, work: Callable[[], Value]) -> Value:
        """What `work` returns to the first process, which alone calls it.

        Its DataError ends all processes, and the first alone tells it.
        """
        result, error = None, None
        if self.is_first:
            try:
                result = work()
            except DataError as found:
                error = found
        result, failed = self.from_first((result, error is not None))
        if failed:
            _stay_to_the_end()
            raise error or AlreadyTold("the first process of the group tells it")
        return cast(Value, result)

    def wait(self) -> None:
        """Go on once every process has come here."""
        if self.world > 1:
            distributed.barrier()


class AnyProcess:
    """Whether a flag is true in any process of a group, asked at every step.

    On GPUs the answer is that of some steps ago, the same in all processes, so that no step waits for it.
    """

    def __init__(self, group: Group) -> None:
        self.is_alone = group.world == 1
        self.transfers = transfers_of(group.device)
        self.asked: deque[Arrival] = deque()

    def __call__(self, flag: bool) -> bool:
        """Ask, and get what is known; every process must call this."""
        if self.is_alone:
            return flag
        count = self.transfers.send(torch.tensor(int(flag)))
        distributed.all_reduce(count)
        self.asked.append(self.transfers.fetch({"count": count}))
        if len(self.asked) <= self.transfers.ahead:
            return False
        return bool(self.asked.popleft().wait()["count"])


def alone(device: torch.device | None = None) -> Group:
    """The group of this process only."""
    return Group(0, 1, device or torch.device("cpu"))


def alone_on(device_name: str) -> Group:
    """The group of this process only, on the device that `engine.device` names."""
    return alone(choose_device(device_name))


def _stay_to_the_end() -> None:
    """Ignore SIGTERM, so that `torchrun` does not end this process before it ends by its own error."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def coming_group(device_name: str) -> Group:
    """The group that `process_group` will make, before its processes are joined and can talk to each other."""
    world, rank = (int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", "1"), ("RANK", "0")))
    if world == 1:
        return alone_on(device_name)
    device = choose_device(_own_device(device_name))
    return Group(rank, world, device, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _own_device(name: str) -> str:
    """The device called `name`, where that is any GPU this process's: so that it takes no memory of another's."""
    is_any = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if is_any else name


@contextmanager
def process_group(device_name: str) -> Iterator[Group]:
    """The processes that `torchrun` started, joined for the time within; gloo on CPUs, nccl on GPUs.

    Where the device is "auto" or "cuda", each process of a machine takes a GPU of its own.
    """
    place = coming_group(device_name)
    device, world = place.device, place.world
    if world == 1:
        yield place
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
        distributed.init_process_group(
            "nccl", timeout=PATIENCE, device_id=device
        )  # else torch guesses it, and warns
    else:
        distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield replace(place, rank=distributed.get_rank())
    finally:
        distributed.destroy_process_group()
