"""The region engine: warped regions of many images, packed into batches of one size, one forward pass a batch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from detector.config import EngineSettings, RegionSettings
from detector.errors import ConfigError
from detector.inference.batches import BatchRunner, CropJob
from detector.inference.held_image import AnyImage, Regions, hold
from detector.inference.shared_engine import SharedEngine
from detector.networks.backbones import check_crop
from detector.networks.heads import Probabilities
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing, crop_regions, prepare_image
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.weights import load_model
from detector.records import COLOURS, Array, ClassScores, Float32, RegionFeatures, RegionScores


class ImageScorer(Protocol):
    """Scores the regions of images."""

    def score(self, images: Regions) -> Iterator[ClassScores]:
        """What each class makes of the regions, for (image (H, W, 3) uint8 RGB, boxes (N, 4)) pairs in order."""


class CropEngine:
    """Runs any module on the warped regions of images, with one network on one device.

    Each image goes to the device once, as uint8; regions are cut, scaled and normalised there. The module is
    copied, so the caller's stays as it is.
    """

    def __init__(
        self, module: nn.Module, preprocessing: Preprocessing, region: RegionSettings, settings: EngineSettings
    ) -> None:
        self.region = region
        self.preprocessing = preprocessing
        self.runner = BatchRunner(module, region.crop_size, settings, COLOURS * len(region.paddings))

    def run(self, images: Regions) -> Iterator[tuple[Float32, dict[str, Array]]]:
        """The boxes of each image and the module's named answers (N, ...) for them; no answers without boxes.

        A pair's result is yielded as soon as its last region has gone through the network.
        """
        return self.runner.answer(images, self._job)

    def _job(self, image: AnyImage, boxes: Float32) -> CropJob:
        transfers = self.runner.transfers
        prepared = prepare_image(hold(image).sent(transfers), self.preprocessing)
        placed = transfers.send(torch.from_numpy(boxes))

        def cut(first: int, count: int) -> Tensor:
            chosen = placed[first : first + count]
            return crop_regions(prepared, chosen, self.region)

        return CropJob(len(boxes), cut)


def make_engine(
    module: nn.Module,
    preprocessing: Preprocessing,
    region: RegionSettings,
    settings: EngineSettings,
    mirrored: bool = False,
) -> CropEngine | SharedEngine:
    """The engine that `region.mode` asks for; `mirrored` says that the module mirrors the crops.

    ConfigError where a network of the module takes another number of crops than `region` makes, or larger ones.
    """
    _check_crops(module, region)
    if region.mode == "warp":
        return CropEngine(module, preprocessing, region, settings)
    return SharedEngine(module, preprocessing, region, settings, mirrored)


def _check_crops(module: nn.Module, region: RegionSettings) -> None:
    made = len(region.paddings)
    networks = [part for part in module.modules() if isinstance(part, RegionClassifier)]
    for network in networks:
        check_crop(network.backbone.variant, region.crop_size)
        if network.crops != made:
            wanted = "0" if network.crops == 1 else "above 0"
            raise ConfigError(
                f"region.wide_padding must be {wanted} for a network of {network.crops} crops a region, "
                f"got {region.wide_padding}"
            )


class RegionEngine:
    """Scores regions with one network on one device."""

    def __init__(
        self,
        network: RegionClassifier,
        preprocessing: Preprocessing,
        region: RegionSettings,
        settings: EngineSettings,
    ) -> None:
        self.outputs = network.classifier.out_features
        self.width = network.width
        self.crops = make_engine(Probabilities(network), preprocessing, region, settings)

    @staticmethod
    def load(
        path: Path, region: RegionSettings | None = None, settings: EngineSettings | None = None
    ) -> "RegionEngine":
        """The engine of a weight file of any family: a run's region classifier, BVLC's, torchvision's.

        `region` is by default what the file states, as a run's does, else R-CNN's. DataError for a bad file.
        """
        network, preprocessing, metadata = load_model(path)
        region = region or ModelFacts.of(metadata, path).region
        return RegionEngine(network, preprocessing, region, settings or EngineSettings())

    def score(self, images: Regions) -> Iterator[RegionScores]:
        """Class probabilities for (image, boxes) pairs, in their order."""
        for found in self.describe(images):
            yield RegionScores(found.boxes, found.probs)

    def describe(self, images: Regions) -> Iterator[RegionFeatures]:
        """As `score`, with the features (N, F) that the classifier saw: the average-pooled maps of 5b."""
        nothing = {
            "features": np.empty((0, self.width), np.float32),
            "probs": np.empty((0, self.outputs), np.float32),
        }
        for boxes, answers in self.crops.run(images):
            found = answers or nothing
            yield RegionFeatures(boxes, found["features"], found["probs"])
