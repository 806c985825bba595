"""Copies between the memory of the host and a device, beside the device's work.

A GPU is given work ahead of time, and neither it nor the host should wait for the other without need: what goes
there is copied from pinned memory on a stream of its own, what comes back is copied to pinned memory on another,
and read once its event is done. A CPU has nothing to copy.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

AHEAD = 2  # batches or steps that a GPU may have begun whose results were not read


class Arrival(Protocol):
    """Tensors on their way to the host."""

    def wait(self) -> dict[str, Tensor]:
        """The tensors in the host's memory, once they are there."""


class Transfers(Protocol):
    """The ways to a device and back."""

    ahead: int  # results at most that are under way while the next are computed; 0: each is read at once

    def send(self, tensor: Tensor) -> Tensor:
        """The tensor on the device, for work that is begun after the call."""

    def fetch(self, tensors: Mapping[str, Tensor]) -> Arrival:
        """The tensors, as all work begun before the call leaves them, on their way to the host."""


class Arrived:
    """Tensors that were in the host's memory all along."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)

    def wait(self) -> dict[str, Tensor]:
        """The tensors."""
        return self.tensors


class HostTransfers:
    """Of a CPU, or of a device that takes its work at once."""

    ahead = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def send(self, tensor: Tensor) -> Tensor:
        """As `Transfers` says."""
        return tensor.to(self.device)

    def fetch(self, tensors: Mapping[str, Tensor]) -> Arrived:
        """As `Transfers` says."""
        return Arrived({name: tensor.cpu() for name, tensor in tensors.items()})


class CudaArrival:
    """Copies in pinned memory, whole once `event` is done."""

    def __init__(self, tensors: dict[str, Tensor], event: torch.cuda.Event) -> None:
        self.tensors = tensors
        self.event = event

    def wait(self) -> dict[str, Tensor]:
        """The copies."""
        self.event.synchronize()
        return self.tensors


class CudaTransfers:
    """Of a GPU: a stream for each direction, beside the one that computes."""

    ahead = AHEAD

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.up = torch.cuda.Stream(device)
        self.down = torch.cuda.Stream(device)

    def send(self, tensor: Tensor) -> Tensor:
        """As `Transfers` says; what lies on the device already stays where it is."""
        if tensor.device.type == self.device.type:
            return tensor.to(self.device)
        pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.up):
            sent = pinned.to(self.device, non_blocking=True)
        computing.wait_stream(self.up)
        sent.record_stream(computing)  # its memory is not given away before the work on it is done
        return sent

    def fetch(self, tensors: Mapping[str, Tensor]) -> CudaArrival:
        """As `Transfers` says."""
        self.down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.down):
            copies = {name: tensor.to("cpu", non_blocking=True) for name, tensor in tensors.items()}
            event = self.down.record_event()
        for tensor in tensors.values():
            tensor.record_stream(self.down)
        return CudaArrival(copies, event)


def transfers_of(device: torch.device) -> Transfers:
    """The ways to `device`, the same for all who use it."""
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    return _transfers_of(device)


@lru_cache(maxsize=32)
def _transfers_of(device: torch.device) -> Transfers:
    return CudaTransfers(device) if device.type == "cuda" else HostTransfers(device)


@lru_cache(maxsize=256)
def constant(values: tuple[float, ...] | tuple[int, ...], device: torch.device) -> Tensor:
    """The numbers on `device`, made there once: the device has to wait for each making. Not to be written to."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)
