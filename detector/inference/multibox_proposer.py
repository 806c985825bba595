"""MultiBox proposals of images, from one or many windows of each (arXiv 1412.1441, section 3.3)."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from detector.boxes import clip_boxes, nms
from detector.config import EngineSettings, MultiBoxInference
from detector.data.images import resize_image
from detector.inference.batches import BatchRunner, CropJob
from detector.networks.device import choose_batch_size, choose_device
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


class BoxesAndConfidence(nn.Module):
    """Windows (B, 3, S, S) to `boxes` (B, K, 4), in fractions of them, and `confidence` (B, K) in 0..1, f32."""

    def __init__(self, network: MultiBox) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> dict[str, Tensor]:
        """Both, in one pass."""
        boxes, logits = self.network(windows)
        return {"boxes": boxes, "confidence": logits.sigmoid()}


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
        windows = len(window_boxes(1, 1, settings.scales))
        device = choose_device(engine.device)
        batch_size = choose_batch_size(engine.batch_size, device, self.size)
        if device.type == "cpu":  # batches that an image fills
            passes = -(-windows // batch_size)
            batch_size = -(-windows // passes)
        sized = engine.in_floats.model_copy(update={"batch_size": batch_size})
        self.runner = BatchRunner(BoxesAndConfidence(network), self.size, sized)
        self.group = max(1, batch_size // windows)  # images that fill a batch

    def cut(self, image: Image) -> ImageWindows:
        """The windows of `image` (H, W, 3) uint8 RGB, scaled to the network's input; may run on any thread."""
        height, width = image.shape[:2]
        boxes = window_boxes(height, width, self.settings.scales)
        parts = [image[y1:y2, x1:x2] for x1, y1, x2, y2 in np.rint(boxes).astype(int).tolist()]
        pixels = np.stack([resize_image(part, self.size, self.size) for part in parts])
        return ImageWindows(height, width, boxes, pixels)

    def propose(self, images: Iterable[ImageWindows], count: int) -> Iterator[Proposals]:
        """At most `count` proposals of each image, the most confident first, in the images' order."""
        waiting: deque[ImageWindows] = deque()

        def jobs() -> Iterator[CropJob]:
            for windows in images:
                waiting.append(windows)
                yield self._job(windows)

        for answers in self.runner.run(jobs()):
            yield self._select(waiting.popleft(), answers["boxes"], answers["confidence"], count)

    def _job(self, windows: ImageWindows) -> CropJob:
        placed = self.runner.transfers.send(torch.from_numpy(windows.pixels))

        def cut(first: int, count: int) -> Tensor:
            return normalise(placed[first : first + count], self.preprocessing)

        return CropJob(len(windows.boxes), cut)

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
