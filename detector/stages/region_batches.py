"""The batches that are drawn from a data set's labelled regions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from detector.config import RegionSettings, RegionTraining
from detector.data.augment import PhotometricAugment
from detector.networks.backbones import backbone_facts
from detector.networks.backbones.base import SharedMap
from detector.networks.warp import Preprocessing
from detector.records import Float32
from detector.runs.processes import Group
from detector.runs.split import Split
from detector.stages.label import LabelledRegions
from detector.stages.start_network import NetworkTask
from detector.training.batch import CACHE_BYTES, PatchSource, RegionBatch, RegionReader, warp_patches
from detector.training.batch_loading import load_batches
from detector.training.box_targets import box_targets, no_targets
from detector.training.sample import Draw, RegionSampler
from detector.training.shared_batches import ImageSampler, ImageSource, SharedBatch, place_images

LabelledBatch = RegionBatch | SharedBatch
Sent = TypeVar("Sent")


@dataclass(frozen=True)
class BatchMaker:
    """Turns labelled regions into batches on a device, by the settings of a training."""

    region: RegionSettings
    settings: RegionTraining
    positives: int
    preprocessing: Preprocessing
    shared: SharedMap
    device: torch.device
    workers: int
    seed: int
    paired_iou: float | None = None  # above which regions learn their objects' boxes; None: none does
    near_share: float = 0.0  # of the background, that is near an object

    def batches(
        self, labelled: LabelledRegions[Any], first: int, last: int, rank: int = 0, world: int = 1
    ) -> Iterator[LabelledBatch]:
        """The batches of steps first..last - 1: the part of each that is process `rank`'s of `world`."""
        if first >= last:
            return iter(())
        labels, region = labelled.labels, self.region
        sampler = RegionSampler(
            labels.field("labels"),
            labels.offsets,
            self.settings,
            self.positives,
            self.seed,
            labels.field("near"),
            self.near_share,
        )
        distort = PhotometricAugment(self.settings.photometric)
        distort(np.zeros((1, 1, 3), np.uint8), 0)  # so that its library is imported once, before the workers fork
        split, boxes = labelled.regions.split, labelled.regions.boxes
        cache = CACHE_BYTES // max(self.workers, 1)
        drawer = ImageSampler(sampler, region.shared_images) if region.mode == "shared" else sampler
        draw = partial(_draw_share, drawer, rank, world)
        reader = RegionReader(draw, split.read, boxes, distort, cache, self._targets(split))
        if region.mode == "shared":
            images = self._load(ImageSource(reader, self.settings.zoom), first, last)
            return (place_images(each, self.preprocessing, region, self.shared, self.device) for each in images)
        patches = self._load(PatchSource(reader, region), first, last)
        return (warp_patches(each, self.preprocessing, region, self.device) for each in patches)

    def _targets(self, split: Split) -> Callable[[int, Float32], Float32]:
        """What the regions of an image of a split learn of boxes."""
        iou, dataset = self.paired_iou, split.dataset
        if iou is None:
            return no_targets
        return lambda position, boxes: box_targets(boxes, dataset.truth(position), iou)

    def _load(self, source: TorchDataset[Sent], first: int, last: int) -> Iterator[Sent]:
        return load_batches(source, first, last, self.workers, pin=self.device.type != "cpu")


def batch_maker(
    settings: RegionTraining,
    task: NetworkTask,
    positives: int,
    preprocessing: Preprocessing,
    group: Group,
    seed: int,
) -> BatchMaker:
    """The maker of a training's batches, drawn by `seed`."""
    workers = group.workers(task.engine.workers)
    shared = backbone_facts(task.network.variant).shared
    return BatchMaker(task.region, settings, positives, preprocessing, shared, group.device, workers, seed)


def _draw_share(sampler: RegionSampler | ImageSampler, rank: int, world: int, step: int) -> Draw:
    return sampler.draw(step).share(rank, world)
