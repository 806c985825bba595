"""Batches of whole-image crops for training the classifier (arXiv 1409.4842, section 6)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from detector.networks.warp import Preprocessing, normalise
from detector.records import Image, Int64


class Crops(NamedTuple):
    """One batch as the workers send it: pixels (B, S, S, 3) uint8 RGB, labels (B,) i64 from 0."""

    step: int
    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ImageBatch:
    """Crops (B, 3, S, S) f32 preprocessed and labels (B,) i64 from 0, on the device."""

    step: int
    crops: Tensor
    labels: Tensor


class EpochSampler:
    """The images of a step: every epoch goes over all of them once, in an order of its own.

    The order depends on (seed, epoch) alone, and where an epoch ends within a batch the next begins: so training
    resumes at any step. Of `world` processes each, by its `rank`, takes its share of every batch.
    """

    def __init__(self, images: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        share = batch_size // world
        self.share = range(rank * share, (rank + 1) * share)

    def positions(self, step: int) -> Int64:
        """The images (B / world,) of this process's share of the batch of `step`."""
        turns = step * self.batch_size + np.array(self.share)
        epochs, places = np.divmod(turns, self.images)
        return np.array([_order(self.seed, int(e), self.images)[p] for e, p in zip(epochs, places, strict=True)])

    def seeds(self, step: int) -> Int64:
        """A seed for the distortion of each image of the share, (B / world,)."""
        drawn = np.random.default_rng([self.seed, step, 1]).integers(0, 2**31, self.batch_size)
        return drawn[self.share.start : self.share.stop]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, images: int) -> Int64:
    return np.random.default_rng([seed, epoch, 0]).permutation(images)


class CropSource(Dataset[Crops]):
    """The batches by step: read_image(position) gives an image, crop(image, seed) a distorted crop of it."""

    def __init__(
        self,
        sampler: EpochSampler,
        labels: Int64,
        read_image: Callable[[int], Image],
        crop: Callable[[Image, int], Image],
    ) -> None:
        self.sampler = sampler
        self.labels = labels
        self.read_image = read_image
        self.crop = crop

    def __getitem__(self, step: int) -> Crops:
        positions = self.sampler.positions(step)
        seeds = self.sampler.seeds(step)
        crops = [self.crop(self.read_image(int(p)), int(s)) for p, s in zip(positions, seeds, strict=True)]
        return Crops(step, torch.from_numpy(np.stack(crops)), torch.from_numpy(self.labels[positions]))


def to_device(crops: Crops, preprocessing: Preprocessing, device: torch.device) -> ImageBatch:
    """The batch on `device`, preprocessed."""
    pixels = normalise(crops.pixels.to(device, non_blocking=True), preprocessing)
    return ImageBatch(
        crops.step,
        pixels.contiguous(memory_format=torch.channels_last),
        crops.labels.to(device, non_blocking=True),
    )
