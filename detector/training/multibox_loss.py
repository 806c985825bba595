"""Training batches and loss of MultiBox (arXiv 1312.2249, section 3; arXiv 1412.1441, sections 3 and 4).

Differs from the papers: alpha is 30 by default, not 0.3, as our offsets are fractions of the image: with 0.3 a box
that is a tenth of it too far right and too low costs 0.006, and a wrong confidence several nats.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from detector.boxes import box_area, clip_boxes
from detector.config import MultiBoxSettings
from detector.data.images import resize_image
from detector.networks.warp import Preprocessing, normalise
from detector.records import Array, Float32, Image, Int64
from detector.training.image_batches import EpochSampler

LONGEST_ASPECT = 4 / 3  # of a crop beside its image's own


class DrawnWindows(NamedTuple):
    """One batch as the workers send it: pixels (B, S, S, 3) uint8 RGB and its M objects.

    owner (M,) i64 is each object's place in the batch, boxes (M, 4) f32 are fractions of the crop, slots (M,) i64
    the slots that they are matched to by prior.
    """

    step: int
    pixels: Tensor
    owner: Tensor
    boxes: Tensor
    slots: Tensor


@dataclass(frozen=True)
class WindowBatch:
    """Crops (B, 3, S, S) f32 preprocessed, and the objects as in `DrawnWindows`, on the device."""

    step: int
    crops: Tensor
    owner: Tensor
    boxes: Tensor
    slots: Tensor


class WindowSource(Dataset[DrawnWindows]):
    """The batches by step, each image as a random crop with the objects that are in it.

    read_image(position) gives an image, read_boxes(position) its objects (G, 4) in pixels, distort(image, seed)
    changes colours. A batch depends on the sampler's seed and the step alone.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        read_image: Callable[[int], Image],
        read_boxes: Callable[[int], Float32],
        distort: Callable[[Image, int], Image],
        settings: MultiBoxSettings,
        priors: Float32,
        size: int,
    ) -> None:
        self.sampler = sampler
        self.read_image = read_image
        self.read_boxes = read_boxes
        self.distort = distort
        self.settings = settings
        self.priors = priors
        self.size = size

    def __getitem__(self, step: int) -> DrawnWindows:
        positions, seeds = self.sampler.positions(step), self.sampler.seeds(step)
        pairs = [self._crop(int(p), int(s)) for p, s in zip(positions, seeds, strict=True)]
        boxes = [boxes for _, boxes in pairs]
        slots = [match_slots(distances(own, self.priors)) for own in boxes]
        return DrawnWindows(
            step,
            torch.from_numpy(np.stack([pixels for pixels, _ in pairs])),
            torch.from_numpy(np.repeat(np.arange(len(pairs)), [len(own) for own in boxes])),
            torch.from_numpy(np.concatenate(boxes)),
            torch.from_numpy(np.concatenate(slots)),
        )

    def _crop(self, position: int, seed: int) -> tuple[Image, Float32]:
        """A crop (S, S, 3) of an image, and its objects (G, 4) as fractions of it."""
        random = np.random.default_rng(seed)
        image = self.read_image(position)
        height, width = image.shape[:2]
        window = draw_window(random, height, width, self.settings.min_area)
        boxes = objects_within(self.read_boxes(position), window, self.settings.min_visible)
        x1, y1, x2, y2 = window
        pixels = resize_image(image[y1:y2, x1:x2], self.size, self.size)
        if self.settings.mirror and random.random() < 0.5:
            pixels, boxes = np.ascontiguousarray(pixels[:, ::-1]), mirrored(boxes)
        return self.distort(pixels, seed), boxes


def draw_window(
    random: np.random.Generator, height: int, width: int, min_area: float
) -> tuple[int, int, int, int]:
    """A window (x1, y1, x2, y2) of whole pixels: the image in half of the draws, else a part of it.

    A part has `min_area` to 1 of the area, and 3/4 to 4/3 of the image's aspect.
    """
    if min_area == 1 or random.random() < 0.5:
        return 0, 0, width, height
    area = random.uniform(min_area, 1)
    stretch = np.exp(random.uniform(-1, 1) * np.log(LONGEST_ASPECT) / 2)
    part_width = max(1, round(width * min(1.0, np.sqrt(area) * stretch)))
    part_height = max(1, round(height * min(1.0, np.sqrt(area) / stretch)))
    x = int(random.integers(0, width - part_width + 1))
    y = int(random.integers(0, height - part_height + 1))
    return x, y, x + part_width, y + part_height


def objects_within(boxes: Float32, window: tuple[int, int, int, int], min_visible: float) -> Float32:
    """The objects (G, 4) that the window shows at least `min_visible` of, cut to it, as fractions of it."""
    x1, y1, x2, y2 = window
    shown = clip_boxes(boxes - np.array([x1, y1, x1, y1], np.float32), y2 - y1, x2 - x1)
    enough = box_area(shown) >= np.maximum(min_visible * box_area(boxes), 1)
    return (shown[enough] / np.array([x2 - x1, y2 - y1] * 2)).astype(np.float32)


def mirrored(boxes: Float32) -> Float32:
    """Boxes (G, 4) in fractions, left and right exchanged."""
    return np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=1)


def distances(objects: Array, slots: Array) -> Array:
    """Half the squared distances (G, K) between the corners of boxes (G, 4) and (K, 4)."""
    return 0.5 * ((objects[:, None] - slots[None]) ** 2).sum(2)


def match_slots(cost: Array) -> Int64:
    """The slot (G,) of each object, all different, so that the sum of their costs (G, K) is least.

    Where there are more objects than slots, -1 for those left over.
    """
    slots = np.full(len(cost), -1, np.int64)
    rows, columns = linear_sum_assignment(cost)
    slots[rows] = columns
    return slots


def to_device(windows: DrawnWindows, preprocessing: Preprocessing, device: torch.device) -> WindowBatch:
    """The batch on `device`, preprocessed; objects without a slot are left out."""
    kept = windows.slots >= 0
    crops = normalise(windows.pixels.to(device, non_blocking=True), preprocessing)
    return WindowBatch(
        windows.step,
        crops.contiguous(memory_format=torch.channels_last),
        windows.owner[kept].to(device),
        windows.boxes[kept].to(device),
        windows.slots[kept].to(device),
    )


@dataclass(frozen=True)
class MultiBoxObjective:
    """F = alpha F_match + F_conf of a batch, the mean over its images (arXiv 1312.2249, equations 1 to 4).

    F_match is half the squared distance of the matched slots to their objects, F_conf the cross entropy of all
    slots. From step `bootstrap_from` on slots without object that are more confident than `bootstrap` do not
    count (hard bootstrapping, arXiv 1412.1441): an object that nobody labelled may be there.
    """

    box_weight: float
    matching: str
    bootstrap: float
    bootstrap_from: int

    def __call__(self, network: nn.Module, batch: WindowBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, its two terms, and the mean confidence of the matched slots."""
        boxes, logits = network(batch.crops)
        owner, slots = batch.owner, self._slots(batch, boxes, logits)
        images = len(logits)
        matched = torch.zeros_like(logits, dtype=torch.bool)
        matched[owner, slots] = True
        match_loss = 0.5 * (boxes[owner, slots] - batch.boxes).square().sum() / images
        entropy = functional.binary_cross_entropy_with_logits(logits, matched.float(), reduction="none")
        confidence = logits.detach().sigmoid()
        if batch.step >= self.bootstrap_from:
            entropy = entropy.masked_fill(~matched & (confidence > self.bootstrap), 0)
        confidence_loss = entropy.sum() / images
        return self.box_weight * match_loss + confidence_loss, {
            "match_loss": match_loss,
            "confidence_loss": confidence_loss,
            "object_confidence": confidence[matched].sum() / max(len(slots), 1),
        }

    @torch.no_grad()
    def _slots(self, batch: WindowBatch, boxes: Tensor, logits: Tensor) -> Tensor:
        """The slot (M,) of each object: by prior, or by the predictions, which minimises F."""
        if self.matching == "priors":
            return batch.slots
        slots = torch.empty_like(batch.slots)
        for image in batch.owner.unique().tolist():
            own = batch.owner == image
            distance = 0.5 * torch.cdist(batch.boxes[own], boxes[image]).square()
            cost = self.box_weight * distance - logits[image]  # -log c + log(1 - c) is minus the logit
            slots[own] = torch.from_numpy(match_slots(cost.cpu().numpy())).to(slots.device)
        return slots
