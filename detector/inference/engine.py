"""The region engine: warped regions of many images, packed into batches of one size, one forward pass a batch."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from detector.config import EngineSettings, RegionSettings
from detector.inference.batches import Answers, BatchRunner, Job
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing, prepare_image, warp_regions
from detector.networks.weights import load_model
from detector.records import Float32, Image, RegionFeatures, RegionScores


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
        self.region = region
        self.preprocessing = preprocessing
        self.runner = BatchRunner(network, region.crop_size, settings)

    @staticmethod
    def load(
        path: Path, region: RegionSettings | None = None, settings: EngineSettings | None = None
    ) -> "RegionEngine":
        """The engine of a weight file of any family: a run's region classifier, BVLC's, torchvision's.

        `region` is by default what the file states, as a run's does, else R-CNN's. DataError for a bad file.
        """
        network, preprocessing, metadata = load_model(path)
        region = region or RegionSettings(**metadata.get("region", {}))
        return RegionEngine(network, preprocessing, region, settings or EngineSettings())

    def score(self, images: Iterable[tuple[Image, Float32]]) -> Iterator[RegionScores]:
        """Class probabilities for (image (H, W, 3) uint8 RGB, boxes (N, 4)) pairs, in their order.

        A pair's result is yielded as soon as its last region has gone through the network.
        """
        for boxes, answers in self._run(images):
            yield RegionScores(boxes, answers.probs.numpy())

    def describe(self, images: Iterable[tuple[Image, Float32]]) -> Iterator[RegionFeatures]:
        """As `score`, with the features (N, 1024) that the classifier saw: the average-pooled map of 5b."""
        for boxes, answers in self._run(images):
            yield RegionFeatures(boxes, answers.features.numpy(), answers.probs.numpy())

    def _run(self, images: Iterable[tuple[Image, Float32]]) -> Iterator[tuple[Float32, Answers]]:
        given: deque[Float32] = deque()

        def jobs() -> Iterator[Job]:
            for image, boxes in images:
                given.append(boxes)
                yield self._job(image, boxes)

        for answers in self.runner.run(jobs()):
            yield given.popleft(), answers

    def _job(self, image: Image, boxes: Float32) -> Job:
        prepared = prepare_image(torch.from_numpy(image).to(self.runner.device), self.preprocessing)
        placed = torch.from_numpy(boxes).to(self.runner.device)

        def cut(first: int, count: int) -> Tensor:
            chosen = placed[first : first + count]
            return warp_regions(prepared, chosen, self.region.crop_size, self.region.padding)

        return Job(len(boxes), cut)
