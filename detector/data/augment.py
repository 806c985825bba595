"""Random crops and changes of light and colour for training; the one file that knows albumentations."""

import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from detector.records import Image

if TYPE_CHECKING:
    import albumentations

    Steps = list[albumentations.BasicTransform | albumentations.BaseCompose]

HUE_SHARE = 0.1  # of the colour circle at strength 1: a tint, not another colour
LIGHT_SHARE = 25.0  # grey levels at strength 1

INTERPOLATIONS = {  # each as likely as the others
    "random": (cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_NEAREST, cv2.INTER_CUBIC),
    "bilinear": (cv2.INTER_LINEAR,),
}

_threads = threading.local()


@dataclass(frozen=True)
class PhotometricAugment:
    """Photometric distortion of one image, the same for the same seed in any process and thread.

    Brightness, contrast and saturation are scaled by 1 - strength .. 1 + strength (Howard, arXiv 1312.5402,
    section 2: 0.5 .. 1.5), the hue turns a little, all in random order, and then a random shift of the three
    channels stands for another light (Krizhevsky et al. 2012, section 4.1). Strength 0 changes nothing.
    """

    strength: float

    def __call__(self, image: Image, seed: int) -> Image:
        """`image` (H, W, 3) uint8 RGB, of any size, distorted into a new array."""
        if self.strength == 0:
            return image
        distort = _pipeline(self, partial(_distortions, self.strength))
        distort.set_random_seed(seed)  # per image: workers and epochs then never share a sequence
        return distort(image=image)["image"]


@dataclass(frozen=True)
class CropAugment:
    """A random crop of one image for training a classifier, the same for the same seed in any process and thread.

    As arXiv 1409.4842, section 6: the crop's area is evenly distributed over `area` (shares of the image's), its
    width by height lies in `aspect`; it is resized to `size` x `size` pixels, where `interpolation` is random by
    one drawn from bilinear, area, nearest and cubic, mirrored half of the times where `mirror` says so, and
    distorted as PhotometricAugment of strength `photometric` does it.

    Not in the paper: aspects are evenly distributed in their logarithm, so that neither orientation is preferred.
    A crop that does not fit into the image is drawn again; after ten in vain it is the largest in the centre, as
    always in an image many times longer than wide.
    """

    size: int
    area: tuple[float, float]
    aspect: tuple[float, float]
    interpolation: Literal["random", "bilinear"]
    photometric: float
    mirror: bool

    def __call__(self, image: Image, seed: int) -> Image:
        """A crop (size, size, 3) of `image` (H, W, 3) uint8 RGB, of any size."""
        augment = _pipeline(self, self._steps)
        # One pair of generators for all steps: `set_random_seed` would give every step its own copy of the same
        # sequence, and small crops would be mirrored, large ones not.
        augment.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return augment(image=image)["image"]

    def _steps(self) -> "Steps":
        """The crop first: what follows then works on few pixels."""
        import albumentations

        shape = (self.size, self.size)
        crops = [
            albumentations.RandomResizedCrop(shape, self.area, self.aspect, interpolation=how, p=1)
            for how in INTERPOLATIONS[self.interpolation]
        ]
        flips = [albumentations.HorizontalFlip(p=0.5)] if self.mirror else []
        colours = _distortions(self.photometric) if self.photometric else []
        return [albumentations.OneOf(crops, p=1), *flips, *colours]


def _pipeline(owner: PhotometricAugment | CropAugment, steps: "Callable[[], Steps]") -> "albumentations.Compose":
    """The `steps` of `owner`, composed once a thread, as the composition holds its random generators."""
    pipelines = _threads.__dict__.setdefault("pipelines", {})
    if owner not in pipelines:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks the network
        import albumentations  # here, as it takes seconds and only training needs it

        pipelines[owner] = albumentations.Compose(steps())
    return pipelines[owner]


def _distortions(strength: float) -> "Steps":
    import albumentations

    scale = (1 - strength, 1 + strength)
    hue = (-HUE_SHARE * strength, HUE_SHARE * strength)
    shift = (-LIGHT_SHARE * strength, LIGHT_SHARE * strength)
    return [
        albumentations.ColorJitter(brightness=scale, contrast=scale, saturation=scale, hue=hue, p=1),
        albumentations.RGBShift(shift, shift, shift, p=1),
    ]
