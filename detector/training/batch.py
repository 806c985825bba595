"""From drawn regions to crops on the device: decode, cut and distort on CPU workers, warp on the device."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from detector.bilinear import sample_grids
from detector.boxes import expand_boxes
from detector.config import RegionSettings
from detector.networks.transfers import Transfers, transfers_of
from detector.networks.warp import Preprocessing, prepare_image, sample_positions, warp_packed
from detector.records import COLOURS, Float32, Image, Int64
from detector.training.box_targets import mirror_targets, no_targets
from detector.training.sample import Draw

NO_TARGETS = torch.empty(0, 4)  # of a batch that teaches no boxes
CACHE_BYTES = 2 << 30  # of decoded images, all workers together


class Patches(NamedTuple):
    """One batch as the workers send it: the pixels around each region, flat, and where things are in them.

    pixels (P, 3) uint8 RGB holds B patches (H W, 3) one after the other; sizes (B, 2) i64 their heights, widths;
    samples (B, K, 2, S) f32 where the samples of the K crops of each lie in its patch, x first; labels (B,) i64;
    mirror (B,) bool; targets (B, 4) f32 as in `RegionBatch`.
    """

    step: int
    pixels: Tensor
    sizes: Tensor
    samples: Tensor
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
        samples = place_samples(np.stack(boxes), self.region)
        patches = [thin_patch(patch, own) for patch, own in zip(patches, samples, strict=True)]
        return Patches(
            step,
            torch.from_numpy(np.concatenate([patch.reshape(-1, COLOURS) for patch in patches])),
            torch.tensor([patch.shape[:2] for patch in patches]),
            torch.from_numpy(samples),
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


def place_samples(boxes: Float32, region: RegionSettings) -> Float32:
    """Where the samples of the K crops of boxes (B, 4) lie, x first: (B, K, 2, S)."""
    placed = torch.from_numpy(boxes)
    crops = [sample_positions(placed, region.crop_size, padding) for padding in region.paddings]
    return torch.stack(crops, 1).numpy()


def thin_patch(patch: Image, samples: Float32) -> Image:
    """The rows and columns of `patch` that samples (K, 2, S) read, which are moved to where they are in these.

    Of a patch more than twice as large as its crops they are not all. The same numbers are read between the same
    pixels, so that crops do not change by a bit.
    """
    columns, rows = (_read_pixels(samples[:, axis], patch.shape[1 - axis]) for axis in (0, 1))
    thinned = patch if rows is None else patch[rows]
    return thinned if columns is None else thinned[:, columns]


def _read_pixels(positions: Float32, extent: int) -> Int64 | None:
    """The pixels along an axis that samples at positions (K, S) read, None for all; they are moved to these."""
    if extent <= 2 * positions.shape[1]:
        return None
    first = np.clip(positions - np.float32(0.5), 0, extent - 2).astype(np.int64)
    read = np.union1d(first, first + 1)
    positions += (np.searchsorted(read, first) - first).astype(np.float32)  # exact: whole numbers, downwards
    return read


def warp_patches(
    patches: Patches, preprocessing: Preprocessing, region: RegionSettings, device: torch.device
) -> RegionBatch:
    """The crops of `patches`, warped on `device` and mirrored where drawn so."""
    way = transfers_of(device)
    warp = warp_on_cpu if device.type == "cpu" else warp_on_device
    return RegionBatch(
        patches.step,
        warp(patches, preprocessing, region, way),
        way.send(patches.labels),
        way.send(patches.targets),
    )


def warp_on_cpu(patches: Patches, preprocessing: Preprocessing, region: RegionSettings, way: Transfers) -> Tensor:
    """Patch after patch, by the CPU's own kernel."""
    sizes = patches.sizes.tolist()
    counts = [height * width for height, width in sizes]
    crops = []
    for (height, width), flat, own in zip(sizes, patches.pixels.split(counts), patches.samples, strict=True):
        image = prepare_image(flat.view(height, width, COLOURS), preprocessing)[0].permute(1, 2, 0).numpy()
        x, y = own.unbind(1)  # (K, S) each
        crops.append(sample_grids(image, x.numpy(), y.numpy(), region.fill == "mean"))
    stacked = torch.from_numpy(np.stack(crops)).permute(0, 1, 4, 2, 3).flatten(1, 2)  # (B, 3 K, S, S)
    mirrored = torch.where(patches.mirror[:, None, None, None], stacked.flip(3), stacked)
    return mirrored.contiguous(memory_format=torch.channels_last)


def warp_on_device(
    patches: Patches, preprocessing: Preprocessing, region: RegionSettings, way: Transfers
) -> Tensor:
    """All patches at once: a mirrored crop is one whose samples lie the other way round."""
    pixels, sizes, samples, mirror = map(
        way.send, (patches.pixels, patches.sizes, patches.samples, patches.mirror)
    )
    x, y = samples.unbind(2)
    x = torch.where(mirror[:, None, None], x.flip(2), x)
    crops = warp_packed(pixels, sizes, torch.stack([x, y], 2), preprocessing, region.fill)
    return crops.contiguous(memory_format=torch.channels_last)
