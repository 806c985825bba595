"""MultiBox proposals of images, from one or many windows of each (arXiv 1412.1441, section 3.3)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from detector.boxes import clip_boxes, nms
from detector.config import EngineSettings, MultiBoxInference
from detector.data.images import resize_image
from detector.inference.batches import check_answers
from detector.networks.device import choose_batch_size, choose_device, choose_precision
from detector.networks.multibox import INPUT_SIZE, MultiBox
from detector.networks.warp import Preprocessing, normalise
from detector.records import Array, Bool, Float32, Float64, Image, Proposals

MIN_SIDE = 1.0  # pixels: what is no wider or higher is no region


@dataclass(frozen=True, eq=False)
class ImageWindows:
    """The windows of an image of height x width pixels: boxes (W, 4) f64 and pixels (W, S, S, 3) uint8 RGB."""

    height: int
    width: int
    boxes: Float64
    pixels: Image


class MultiBoxProposer:
    """Proposes regions with one MultiBox network on one device; windows of many images share a forward pass."""

    def __init__(
        self,
        network: MultiBox,
        preprocessing: Preprocessing,
        settings: MultiBoxInference,
        engine: EngineSettings,
    ) -> None:
        self.settings = settings
        self.preprocessing = preprocessing
        self.size = INPUT_SIZE[network.form]
        self.device = choose_device(engine.device)
        self.precision = choose_precision(engine.precision, self.device)
        self.precision_name = engine.precision
        self.batch_size = choose_batch_size(engine.batch_size, self.device, self.size)
        placed = network.eval().requires_grad_(False).to(self.device)
        self.network = placed.to(memory_format=torch.channels_last)

    def cut(self, image: Image) -> ImageWindows:
        """The windows of `image` (H, W, 3) uint8 RGB, scaled to the network's input; may run on any thread."""
        height, width = image.shape[:2]
        boxes = window_boxes(height, width, self.settings.scales)
        parts = [image[y1:y2, x1:x2] for x1, y1, x2, y2 in np.rint(boxes).astype(int).tolist()]
        pixels = np.stack([resize_image(part, self.size, self.size) for part in parts])
        return ImageWindows(height, width, boxes, pixels)

    def propose(self, images: Iterable[ImageWindows], count: int) -> Iterator[Proposals]:
        """At most `count` proposals of each image, the most confident first, in the images' order."""
        waiting: list[ImageWindows] = []
        for windows in images:
            waiting.append(windows)
            if sum(len(w.boxes) for w in waiting) >= self.batch_size:
                yield from self._finish(waiting, count)
                waiting = []
        yield from self._finish(waiting, count)

    def _finish(self, images: list[ImageWindows], count: int) -> Iterator[Proposals]:
        if not images:
            return
        boxes, confidence = self._forward(np.concatenate([windows.pixels for windows in images]))
        first = 0
        for windows in images:
            rows = slice(first, first + len(windows.boxes))
            yield self._select(windows, boxes[rows], confidence[rows], count)
            first = rows.stop

    @torch.inference_mode()
    def _forward(self, pixels: Image) -> tuple[Float32, Float32]:
        """Boxes (W, K, 4) in fractions of the window and confidences (W, K) of W windows, batch by batch."""
        results = []
        for part in torch.from_numpy(pixels).split(self.batch_size):
            crops = normalise(part.to(self.device), self.preprocessing)
            crops = crops.contiguous(memory_format=torch.channels_last)
            mixed = self.precision != torch.float32
            with torch.autocast(self.device.type, self.precision if mixed else torch.bfloat16, enabled=mixed):
                boxes, logits = self.network(crops)
            found = {"boxes": boxes.float().cpu(), "confidence": logits.float().sigmoid().cpu()}
            check_answers(found, self.precision_name, [self.network.file])
            results.append((found["boxes"], found["confidence"]))
        boxes, confidence = (torch.cat(each).numpy() for each in zip(*results, strict=True))
        return boxes, confidence

    def _select(self, windows: ImageWindows, boxes: Float32, confidence: Float32, count: int) -> Proposals:
        """The boxes of all windows in the image's pixels, near-duplicates removed."""
        fractions = np.clip(boxes, 0, 1).astype(np.float64)
        kept = away_from_edges(fractions, windows, self.settings.edge)  # (W, K)
        origin, sides = windows.boxes[:, None, :2], windows.boxes[:, None, 2:] - windows.boxes[:, None, :2]
        placed = np.tile(origin, 2) + fractions * np.tile(sides, 2)
        inside = clip_boxes(placed[kept], windows.height, windows.width)
        wide = np.all(inside[:, 2:] - inside[:, :2] > MIN_SIDE, axis=1)
        found, scores = inside[wide].astype(np.float32), confidence[kept][wide]
        chosen = nms(found, scores, self.settings.nms_iou)[:count]
        return Proposals(found[chosen], scores[chosen])


def window_boxes(height: int, width: int, scales: Iterable[int]) -> Float64:
    """The windows (W, 4) of an image: for scale s (2 s - 1) ** 2 of 1 / s of its sides, half overlapping."""
    boxes: list[tuple[float, float, float, float]] = []
    for scale in scales:
        steps = np.arange(2 * scale - 1) / (2 * scale)
        boxes += [(x, y, x + 1 / scale, y + 1 / scale) for y in steps for x in steps]
    return np.array(boxes) * np.array([width, height, width, height])


def away_from_edges(fractions: Array, windows: ImageWindows, edge: float) -> Bool:
    """Mask (W, K) of boxes (W, K, 4), fractions of their windows, that no edge inside the image may have cut."""
    size = np.array([windows.width, windows.height], np.float64)
    at_start = windows.boxes[:, None, :2] < 0.5  # the window's edge is the image's
    at_end = windows.boxes[:, None, 2:] > size - 0.5
    clear_start = at_start | (fractions[..., :2] >= edge)
    clear_end = at_end | (fractions[..., 2:] <= 1 - edge)
    return np.all(clear_start & clear_end, axis=2)
