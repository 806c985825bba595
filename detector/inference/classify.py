"""Whole images to class probabilities, by one or many crops (arXiv 1409.4842, section 7)."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from detector.config import EngineSettings
from detector.inference.batches import BatchRunner, CropJob
from detector.inference.multi_crop import cut_crops
from detector.networks.heads import Probabilities
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing
from detector.records import Float32, Image


class ImageClassifier:
    """Classifies images with one network on one device; the crops of many images share a forward pass."""

    def __init__(
        self,
        network: RegionClassifier,
        preprocessing: Preprocessing,
        crop_size: int,
        settings: EngineSettings,
    ) -> None:
        self.outputs = network.classifier.out_features
        self.preprocessing = preprocessing
        self.crop_size = crop_size
        # images are few beside regions, and only of a detector's network the maps are measured
        self.runner = BatchRunner(Probabilities(network), crop_size, settings.in_floats)

    def classify(self, images: Iterable[Image], crops: Sequence[int] = (1,)) -> Iterator[Float32]:
        """Probabilities (len(crops), C) f32 of each image (H, W, 3) uint8 RGB, averaged over 1, 10 or 144 crops.

        One pass over the largest number of crops serves the smaller ones, which are the first of them.
        """
        for answers in self.runner.run(self._job(image, max(crops)) for image in images):
            probs = torch.from_numpy(answers["probs"])
            yield np.stack([probs[:count].mean(0).numpy() for count in crops])

    def _job(self, image: Image, count: int) -> CropJob:
        cut = cut_crops(
            self.runner.transfers.send(torch.from_numpy(image)), count, self.preprocessing, self.crop_size
        )

        def take(first: int, number: int) -> Tensor:
            return cut[first : first + number]

        return CropJob(count, take)
