"""The region engine: warped regions of many images, packed into batches of one size, one forward pass a batch."""

import copy
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.config import EngineSettings, RegionSettings
from detector.networks.device import choose_batch_size, choose_device, choose_precision
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing, prepare_image, warp_regions
from detector.records import Float32, Image, RegionScores


@dataclass
class _Pending:
    """An image whose regions are not all scored yet."""

    boxes: Float32
    probs: Float32
    missing: int


class RegionEngine:
    """Scores regions with one network on one device.

    Each image goes to the device once, as uint8; regions are cut, scaled and normalised there. The network is
    copied, so the caller's stays as it is.
    """

    def __init__(
        self,
        network: RegionClassifier,
        preprocessing: Preprocessing,
        region: RegionSettings,
        settings: EngineSettings,
    ) -> None:
        self.device = choose_device(settings.device)
        self.precision = choose_precision(settings.precision, self.device)
        self.batch_size = choose_batch_size(settings.batch_size, self.device, region.crop_size)
        self.region = region
        self.preprocessing = preprocessing
        self.outputs = network.classifier.out_features
        frozen = copy.deepcopy(network).eval().requires_grad_(False)
        placed = frozen.to(self.device, self.precision).to(memory_format=torch.channels_last)
        self.forward = torch.compile(placed) if settings.compile else placed

    @torch.inference_mode()
    def score(self, images: Iterable[tuple[Image, Float32]]) -> Iterator[RegionScores]:
        """Class probabilities for (image (H, W, 3) uint8 RGB, boxes (N, 4)) pairs, in their order.

        A pair's result is yielded as soon as its last region has gone through the network.
        """
        packer = _Packer(self)
        for image, boxes in images:
            packer.add(image, boxes)
            yield from packer.finished()
        packer.flush()
        yield from packer.finished()

    def probabilities(self, crops: Tensor) -> Float32:
        """Softmax (B, outputs) of crops (B, 3, S, S) in the engine's precision."""
        return self.forward(crops).float().softmax(1).cpu().numpy()


class _Packer:
    """Fills batches with the regions of image after image and hands the scores back to their images."""

    def __init__(self, engine: RegionEngine) -> None:
        self.engine = engine
        size = engine.region.crop_size
        self.crops = torch.empty(
            (engine.batch_size, 3, size, size), dtype=engine.precision, device=engine.device
        ).contiguous(memory_format=torch.channels_last)
        self.filled = 0
        self.owners: list[tuple[_Pending, int, int]] = []  # image, its first region, how many
        self.queue: deque[_Pending] = deque()

    def add(self, image: Image, boxes: Float32) -> None:
        """Cut the regions `boxes` (N, 4) of `image`; batches that become full are scored."""
        region, device = self.engine.region, self.engine.device
        pending = _Pending(boxes, np.empty((len(boxes), self.engine.outputs), np.float32), len(boxes))
        self.queue.append(pending)
        prepared = prepare_image(torch.from_numpy(image).to(device), self.engine.preprocessing)
        placed = torch.from_numpy(boxes).to(device)
        first = 0
        while first < len(boxes):
            count = min(len(self.crops) - self.filled, len(boxes) - first)
            crops = warp_regions(prepared, placed[first : first + count], region.crop_size, region.padding)
            self.crops[self.filled : self.filled + count] = crops
            self.owners.append((pending, first, count))
            self.filled += count
            first += count
            if self.filled == len(self.crops):
                self.flush()

    def flush(self) -> None:
        """Score what the batch holds; a last, partial batch is scored at full size, so that shapes stay one."""
        if not self.filled:
            return
        self.crops[self.filled :] = 0
        probs = self.engine.probabilities(self.crops)
        row = 0
        for pending, first, count in self.owners:
            pending.probs[first : first + count] = probs[row : row + count]
            pending.missing -= count
            row += count
        self.owners.clear()
        self.filled = 0

    def finished(self) -> Iterator[RegionScores]:
        """The images at the head of the queue whose regions are all scored."""
        while self.queue and not self.queue[0].missing:
            done = self.queue.popleft()
            yield RegionScores(done.boxes, done.probs)
