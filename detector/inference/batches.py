"""The network on a device, fed with full batches of crops whatever image they come from.

On a GPU the next batches are cut and begun before the answers to one are waited for, so that it always has work:
answers come back by themselves and are handed over in their order. On a CPU each batch is done when it is run.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from detector.config import EngineSettings
from detector.errors import DataError
from detector.inference.backends import make_forward
from detector.networks.device import choose_batch_size, choose_device
from detector.networks.multibox import MultiBox
from detector.networks.region_classifier import RegionClassifier
from detector.networks.transfers import Arrival, transfers_of
from detector.networks.weight_files.states import not_finite
from detector.records import COLOURS, Array, Float32

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class CropJob:
    """Crops of one image: how many, and how to cut those from `first` on, (n, channels, S, S) on the device."""

    count: int
    cut: Callable[[int, int], Tensor]  # of (first, n)


Answers = dict[str, Array]  # (N, ...) each, of an image's crops


def check_answers(answers: Mapping[str, Tensor], precision: str, files: Sequence[str]) -> None:
    """Raise DataError for NaN or infinity, which weights that are finite can give where they are too large.

    `files` are those that the weights came from, where they are known.
    """
    name = not_finite(answers)
    if name is not None:
        known = ", ".join(filter(None, files))
        raise DataError(
            f"{name} of the network must be finite, got NaN or infinity: its weights are too large for"
            f" engine.precision {precision}{f' ({known})' if known else ''}"
        )


class BatchRunner:
    """One module on one device; crops of many images share a forward pass.

    The module answers crops (B, channels, S, S), S = crop_size, with named tensors (B, ...); see
    `detector.networks.heads`. It is copied, so the caller's stays as it is.
    """

    def __init__(
        self, module: nn.Module, crop_size: int, settings: EngineSettings, channels: int = COLOURS
    ) -> None:
        self.device = choose_device(settings.device)
        side = isqrt(channels * crop_size**2 // COLOURS)  # of a square image of as many numbers
        self.batch_size = choose_batch_size(settings.batch_size, self.device, side)
        self.crop_size = crop_size
        self.channels = channels
        self.precision = settings.precision
        self.files = [part.file for part in module.modules() if isinstance(part, RegionClassifier | MultiBox)]
        self.forward = make_forward(module, settings, self.batch_size, crop_size, channels)
        self.transfers = transfers_of(self.device)

    def answer(
        self, images: Iterable[tuple[Seen, Float32]], make_job: Callable[[Seen, Float32], CropJob]
    ) -> Iterator[tuple[Float32, Answers]]:
        """The boxes of each image and the answers (N, ...) to the job that `make_job` makes of both.

        What stands for an image is what `make_job` takes.
        """
        given: deque[Float32] = deque()

        def jobs() -> Iterator[CropJob]:
            for image, boxes in images:
                given.append(boxes)
                yield make_job(image, boxes)

        for answers in self.run(jobs()):
            yield given.popleft(), answers

    @torch.inference_mode()
    def run(self, jobs: Iterable[CropJob]) -> Iterator[Answers]:
        """The answers to the jobs in their order, each as soon as its last crop has gone through the network.

        On a GPU that is when `Transfers.ahead` further batches have been begun. A job without crops is answered
        with nothing.
        """
        packer = _Packer(self)
        for job in jobs:
            packer.add(job)
            yield from packer.finished()
        packer.flush()
        packer.hand_over(0)
        yield from packer.finished()


@dataclass
class _Pending:
    """A job whose crops are not all through the network yet."""

    count: int
    missing: int
    answers: Answers = field(default_factory=dict)

    def take(self, answers: Answers, row: int, first: int, count: int) -> None:
        """Copy the answers of a batch from `row` on to the crops from `first` on."""
        for name, batch in answers.items():
            if name not in self.answers:
                self.answers[name] = np.empty((self.count, *batch.shape[1:]), np.float32)
            self.answers[name][first : first + count] = batch[row : row + count]
        self.missing -= count


Owners = list[tuple[_Pending, int, int]]  # of the rows of a batch: job, its first crop, how many


@dataclass
class _Packer:
    """Fills batches with the crops of job after job and hands the answers back to their jobs."""

    runner: BatchRunner
    filled: int = 0
    owners: Owners = field(default_factory=list)
    queue: deque[_Pending] = field(default_factory=deque)
    begun: deque[tuple[Arrival, Owners]] = field(default_factory=deque)  # batches whose answers are on their way

    def __post_init__(self) -> None:
        runner = self.runner
        self.crops = torch.empty(
            (runner.batch_size, runner.channels, runner.crop_size, runner.crop_size),
            device=runner.device,
        ).contiguous(memory_format=torch.channels_last)

    def add(self, job: CropJob) -> None:
        """Cut the crops of `job`; batches that become full go through the network."""
        pending = _Pending(job.count, job.count)
        self.queue.append(pending)
        first = 0
        while first < job.count:
            count = min(len(self.crops) - self.filled, job.count - first)
            self.crops[self.filled : self.filled + count] = job.cut(first, count)
            self.owners.append((pending, first, count))
            self.filled += count
            first += count
            if self.filled == len(self.crops):
                self.flush()

    def flush(self) -> None:
        """Run what the batch holds; a last, partial batch is run at full size, so that shapes stay one."""
        if not self.filled:
            return
        self.crops[self.filled :] = 0
        found = self.runner.forward(self.crops)
        answers = {name: answer[: self.filled] for name, answer in found.items()}
        self.begun.append((self.runner.transfers.fetch(answers), self.owners))
        self.owners, self.filled = [], 0
        self.hand_over(self.runner.transfers.ahead)

    def hand_over(self, ahead: int) -> None:
        """Give the answers of all batches but the last `ahead` to their jobs."""
        while len(self.begun) > ahead:
            arrival, owners = self.begun.popleft()
            answers = arrival.wait()
            check_answers(answers, self.runner.precision, self.runner.files)
            rows = {name: answer.float().numpy() for name, answer in answers.items()}
            row = 0
            for pending, first, count in owners:
                pending.take(rows, row, first, count)
                row += count

    def finished(self) -> Iterator[Answers]:
        """The answers at the head of the queue that are whole."""
        while self.queue and not self.queue[0].missing:
            yield self.queue.popleft().answers
