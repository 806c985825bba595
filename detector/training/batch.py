"""From drawn regions to crops on the device: decode, cut and distort on CPU workers, warp on the device."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from detector.boxes import expand_boxes
from detector.config import RegionSettings
from detector.networks.warp import Preprocessing, crop_regions, prepare_image
from detector.records import Float32, Image
from detector.training.box_targets import mirror_targets, no_targets
from detector.training.sample import Draw

NO_TARGETS = torch.empty(0, 4)  # of a batch that teaches no boxes
CACHE_BYTES = 2 << 30  # of decoded images, all workers together


class Patches(NamedTuple):
    """One batch as the workers send it: the pixels around each region, flat, and where things are in them.

    pixels (P,) uint8 holds B patches (H, W, 3) RGB one after the other; sizes (B, 2) i64 their heights and widths;
    boxes (B, 4) f32 in the patches' own coordinates; labels (B,) i64; mirror (B,) bool; targets (B, 4) f32 as in
    `RegionBatch`.
    """

    step: int
    pixels: Tensor
    sizes: Tensor
    boxes: Tensor
    labels: Tensor
    mirror: Tensor
    targets: Tensor


@dataclass(frozen=True)
class RegionBatch:
    """Crops (B, 3 K, S, S) f32 preprocessed, K of each region, and labels (B,) i64, on the device.

    targets (B, 4) f32 are the offsets to the regions' objects, as the crops show them; NaN where none is learned.
    """

    step: int
    crops: Tensor
    labels: Tensor
    targets: Tensor = NO_TARGETS


@dataclass(frozen=True)
class RegionReader:
    """What batches are made of, by step and by position in the data set.

    draw(step) says which regions, read_image(position) gives an image (H, W, 3) uint8 RGB, read_boxes(position)
    its regions (R, 4) f32; distort(image, seed) changes colours, not geometry. read_targets(position, boxes) gives
    the offsets (N, 4) f32 from some of the regions to their objects, NaN where none is learned. Each worker keeps
    decoded images up to `cache_bytes`.
    """

    draw: Callable[[int], Draw]
    read_image: Callable[[int], Image]
    read_boxes: Callable[[int], Float32]
    distort: Callable[[Image, int], Image]
    cache_bytes: int
    read_targets: Callable[[int, Float32], Float32] = no_targets


class PatchSource(Dataset[Patches]):
    """The batches by step: `source[step]` is made of what `reader` draws."""

    def __init__(self, reader: RegionReader, region: RegionSettings) -> None:
        self.reader = reader
        self.region = region
        self.cache = ImageCache(reader.cache_bytes)

    def __getitem__(self, step: int) -> Patches:
        reader = self.reader
        draw = reader.draw(step)
        patches: list[Image] = []
        boxes: list[Float32] = []
        targets: list[Float32] = []
        for image, region, seed in zip(draw.image, draw.region, draw.seed, strict=True):
            position = int(image)
            pixels = self.cache.get(position, reader.read_image)
            chosen = reader.read_boxes(position)[region]
            patch, box = cut_patch(pixels, chosen, self.region)
            patches.append(reader.distort(patch, int(seed)))
            boxes.append(box)
            targets.append(reader.read_targets(position, chosen[None]))
        return Patches(
            step,
            torch.from_numpy(np.concatenate([patch.reshape(-1) for patch in patches])),
            torch.tensor([patch.shape[:2] for patch in patches]),
            torch.from_numpy(np.stack(boxes)),
            torch.from_numpy(draw.label),
            torch.from_numpy(draw.mirror),
            torch.from_numpy(mirror_targets(np.concatenate(targets), draw.mirror)),
        )


class ImageCache:
    """Decoded images, the least recently used dropped when they pass `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.images: OrderedDict[int, Image] = OrderedDict()
        self.bytes = 0

    def get(self, position: int, read: Callable[[int], Image]) -> Image:
        """The image at `position`, from memory or from `read`."""
        if position not in self.images:
            self.images[position] = read(position)
            self.bytes += self.images[position].nbytes
            while self.bytes > self.limit and len(self.images) > 1:
                self.bytes -= self.images.popitem(last=False)[1].nbytes
        self.images.move_to_end(position)
        return self.images[position]


def cut_patch(image: Image, box: Float32, region: RegionSettings) -> tuple[Image, Float32]:
    """The part of `image` that the crops of `box` (4,) show, and the box in the patch's coordinates.

    Warping the patch equals warping the whole image: where the patch ends inside the image, no sample reaches
    its edge.
    """
    height, width = image.shape[:2]
    wide = expand_boxes(box[None], region.crop_size / (region.crop_size - 2 * max(region.paddings)))[0]
    x1, y1 = np.maximum(np.floor(wide[:2]).astype(int) - 1, 0)
    x2, y2 = np.minimum(np.ceil(wide[2:]).astype(int) + 1, [width, height])
    return image[y1:y2, x1:x2], box - np.array([x1, y1, x1, y1], np.float32)


def warp_patches(
    patches: Patches, preprocessing: Preprocessing, region: RegionSettings, device: torch.device
) -> RegionBatch:
    """The crops of `patches`, warped on `device` and mirrored where drawn so."""
    pixels = patches.pixels.to(device, non_blocking=True)
    boxes = patches.boxes.to(device)
    counts = (patches.sizes.prod(1) * 3).tolist()
    crops = []
    for box, (height, width), flat in zip(boxes, patches.sizes.tolist(), pixels.split(counts), strict=True):
        prepared = prepare_image(flat.view(height, width, 3), preprocessing)
        crops.append(crop_regions(prepared, box[None], region))
    stacked = torch.cat(crops)  # (B, 3 K, S, S)
    mirror = patches.mirror.to(device)[:, None, None, None]
    stacked = torch.where(mirror, stacked.flip(3), stacked)
    return RegionBatch(
        patches.step,
        stacked.contiguous(memory_format=torch.channels_last),
        patches.labels.to(device),
        patches.targets.to(device),
    )
