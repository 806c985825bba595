"""How long regions take to propose on this machine, measured on a handful of the user's own images."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from detector.config import Config
from detector.data.dataset import Dataset, subset
from detector.errors import DataError
from detector.jobs.plan import ImageRates, Numbers
from detector.jobs.train_model import Labelled, label
from detector.jobs.trained_models import proposals_of
from detector.records import COLOURS, Array
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import Group, alone
from detector.runs.split import Split
from detector.training.batch import CACHE_BYTES
from detector.training.ridge import pairs

IMAGES = 8  # that are looked at
SIDE = 768  # of matrices, for the rate of multiply-adds


@dataclass(frozen=True)
class Sample:
    """A handful of training images with their regions and labels, and what was measured of them."""

    labelled: Labelled
    rates: ImageRates


def measure_images(config: Config, training: Split, group: Group, scratch: Path) -> Sample:
    """Propose the regions of a handful of images of `training`; their results go to the folder `scratch`."""
    with_objects = np.unique(training.dataset.objects.image)
    if not len(with_objects):
        raise DataError(f"{training.dataset.name} must hold an object to train on, got none")
    chosen = with_objects[np.linspace(0, len(with_objects) - 1, min(IMAGES, len(with_objects))).astype(np.int64)]
    # the first call of compiled code loads it
    _proposed(config, _part(training, chosen[:1], "first"), group, scratch / "first")
    split = _part(training, chosen, "sample")
    decoding = _seconds(lambda: [split.read(row) for row in range(len(split))])
    seconds = _proposed(config, split, group, scratch / "sample")
    labelled = label(_job(config, group, scratch / "sample"), split)
    regions = [labelled.regions.boxes(row) for row in range(len(split))]
    threshold = config.boxes.min_iou
    near = [len(pairs(boxes, split.dataset.truth(row), threshold)[0]) for row, boxes in enumerate(regions)]
    machines = group.world / group.neighbours
    rates = ImageRates(
        decode=decoding / len(split),
        search=seconds / len(split) / machines,
        regions=float(np.mean([len(boxes) for boxes in regions])),
        pairs=float(np.mean(near)),
        multiply_add=_multiply_add(group.device),
    )
    return Sample(labelled, rates)


def numbers_of(training: Dataset, testing: Dataset) -> Numbers:
    """How much there is to do."""
    labels, pixels = training.objects.labels, int(training.sizes.prod(axis=1).sum())
    unkept = max(0.0, 1 - CACHE_BYTES / max(COLOURS * pixels, 1))
    return Numbers(len(training), len(testing), len(labels), max(len(np.unique(labels)), 1), unkept)


def _part(split: Split, positions: Array, name: str) -> Split:
    return replace(split, dataset=subset(split.dataset, positions), name=name)


def _job(config: Config, group: Group, folder: Path) -> Job[Config]:
    return Job(RunFolder(folder), config, alone(group.device))


def _proposed(config: Config, split: Split, group: Group, folder: Path) -> float:
    """Seconds that the proposals of a split take."""
    return _seconds(lambda: proposals_of(_job(config, group, folder), split))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _multiply_add(device: torch.device) -> float:
    """Seconds of a multiply-add of matrices in double precision."""
    matrix = torch.ones(SIDE, SIDE, dtype=torch.float64, device=device)
    tries = [_seconds(lambda: (matrix @ matrix).sum().item()) for _ in range(2)]
    return tries[1] / SIDE**3  # the first wakes what computes it
