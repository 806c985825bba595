"""Batches of a few images with many regions each (Fast R-CNN, arXiv 1504.08083, section 2.3).

Regions of one image share the network's first maps, so that a batch of regions costs a pass a few images.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from detector.config import RegionSettings
from detector.networks.backbones.base import SharedMap
from detector.networks.shared_map import ImageRegions, mirror_boxes, place_regions, scale_image
from detector.networks.transfers import transfers_of
from detector.networks.warp import Preprocessing, prepare_image
from detector.records import BACKGROUND, FIRST_LABEL, Array, Int64
from detector.training.batch import NO_TARGETS, ImageCache, RegionReader
from detector.training.box_targets import mirror_targets
from detector.training.sample import Draw, RegionSampler


class ImageSampler:
    """Draws the regions of each batch from few images: `images` equal shares, each of one image.

    A share's image is that of an object's region, drawn as `regions` draws it. From that image come the share's
    objects and its background, uniformly with replacement, but for what is drawn near objects; where it has no
    background, this is another image's.
    A batch depends on the step and the seed of `regions` alone.
    """

    def __init__(self, regions: RegionSampler, images: int) -> None:
        self.regions = regions
        self.images = images
        self.objects = regions.count // images
        self.backgrounds = regions.settings.batch_size // images - self.objects

    def draw(self, step: int) -> Draw:
        """The batch of `step`, objects first: row r is of share r modulo `images`; a share is mirrored whole."""
        regions = self.regions
        random = np.random.default_rng([regions.seed, step])
        drawn = regions.draw_objects(random, self.images)
        rows = np.stack([self._share(random, row) for row in drawn.tolist()], 1).ravel()
        repeats = len(rows) // self.images
        is_mirrored = (
            random.random(self.images) < 0.5 if regions.settings.mirror else np.zeros(self.images, np.bool_)
        )
        seeds = random.integers(0, 2**31, self.images)
        return regions.at(rows, np.tile(is_mirrored, repeats), np.tile(seeds, repeats))

    def _share(self, random: np.random.Generator, row: int) -> Int64:
        """Rows of a share (B / images,) whose image is that of `row`."""
        first, labels = self._image(row)
        objects = first + random.choice(np.flatnonzero(labels >= FIRST_LABEL), self.objects)
        if not self.backgrounds:
            return objects
        if not np.any(labels == BACKGROUND):
            first, labels = self._image(int(self.regions.draw_background(random, 1)[0]))
        background = first + np.flatnonzero(labels == BACKGROUND)
        return np.concatenate([objects, self.regions.choose_background(random, background, self.backgrounds)])

    def _image(self, row: int) -> tuple[int, Array]:
        """The first row and the labels (R,) of the image of a row."""
        offsets = self.regions.offsets
        image = int(np.searchsorted(offsets, row, "right")) - 1
        first, last = int(offsets[image]), int(offsets[image + 1])
        return first, np.asarray(self.regions.labels[first:last])


class DrawnImages(NamedTuple):
    """One batch as the workers send it: images (H, W, 3) uint8 RGB, the drawn regions (n, 4) f32 of each, labels.

    zooms are the factors that the sides of each are scaled by, beside what `shared_side` says. labels (B,) i64
    are those of the regions, image after image, and targets (B, 4) f32 as in `RegionBatch`.
    """

    step: int
    images: list[Tensor]
    zooms: list[float]
    boxes: list[Tensor]
    labels: Tensor
    targets: Tensor


@dataclass(frozen=True)
class SharedBatch:
    """Images with their regions, B in all, on the device, in the place of crops; and their labels (B,) i64.

    targets (B, 4) f32 as in `RegionBatch`.
    """

    step: int
    crops: list[ImageRegions]
    labels: Tensor
    targets: Tensor = NO_TARGETS


class ImageSource(Dataset[DrawnImages]):
    """The batches by step: `source[step]` is made of what `reader` draws; `zoom` is that of the settings."""

    def __init__(self, reader: RegionReader, zoom: float = 0.0) -> None:
        self.reader = reader
        self.zoom = zoom
        self.cache = ImageCache(reader.cache_bytes)

    def __getitem__(self, step: int) -> DrawnImages:
        reader = self.reader
        draw = reader.draw(step)
        views, view = np.unique(np.stack([draw.image, draw.mirror, draw.seed], 1), axis=0, return_inverse=True)
        images, zooms, boxes, labels, targets = [], [], [], [], []
        for number, (position, is_mirrored, seed) in enumerate(views.tolist()):
            rows = np.flatnonzero(view.ravel() == number)
            pixels = reader.distort(self.cache.get(position, reader.read_image), seed)
            chosen = reader.read_boxes(position)[draw.region[rows]]
            found = torch.from_numpy(chosen)
            targets.append(mirror_targets(reader.read_targets(position, chosen), draw.mirror[rows]))
            if is_mirrored:
                pixels, found = np.ascontiguousarray(pixels[:, ::-1]), mirror_boxes(found, pixels.shape[1])
            images.append(torch.from_numpy(pixels))
            zooms.append(zoom_factor(self.zoom, seed))
            boxes.append(found)
            labels.append(draw.label[rows])
        joined = (torch.from_numpy(np.concatenate(each)) for each in (labels, targets))
        return DrawnImages(step, images, zooms, boxes, *joined)


def place_images(
    drawn: DrawnImages,
    preprocessing: Preprocessing,
    region: RegionSettings,
    shared: SharedMap,
    device: torch.device,
) -> SharedBatch:
    """The images of a batch on `device`, as the network takes them."""
    found, send = [], transfers_of(device).send
    for image, zoom, boxes in zip(drawn.images, drawn.zooms, drawn.boxes, strict=True):
        height, width = image.shape[:2]
        sizes, windows = place_regions(boxes, height, width, zoomed(region, zoom), shared)
        prepared = prepare_image(send(image), preprocessing)
        found.append(ImageRegions(scale_image(prepared, sizes), windows))
    return SharedBatch(drawn.step, found, send(drawn.labels), send(drawn.targets))


def zoom_factor(zoom: float, seed: int) -> float:
    """A factor from 1 - zoom to its inverse, by `seed`: each ratio of two is as likely as any other."""
    largest = -math.log1p(-zoom)
    return math.exp(np.random.default_rng([seed, 1]).uniform(-largest, largest)) if zoom else 1.0


def zoomed(region: RegionSettings, factor: float) -> RegionSettings:
    """The settings under which an image is `factor` times as large."""
    if factor == 1:
        return region
    sides = tuple(max(round(side * factor), 1) for side in region.shared_side)
    longest = max(round(region.shared_longest * factor), 1)
    return region.model_copy(update={"shared_side": sides, "shared_longest": longest})
