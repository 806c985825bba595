"""Changes of light and colour for training; the one file that knows albumentations."""

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detector.records import Image

if TYPE_CHECKING:
    import albumentations

HUE_SHARE = 0.1  # of the colour circle at strength 1: a tint, not another colour
LIGHT_SHARE = 25.0  # grey levels at strength 1

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
        distort = _pipeline(self.strength)
        distort.set_random_seed(seed)  # per image: workers and epochs then never share a sequence
        return distort(image=image)["image"]


def _pipeline(strength: float) -> "albumentations.Compose":
    """The distortions of `strength`, one object a thread, as it holds its random generator."""
    pipelines = _threads.__dict__.setdefault("pipelines", {})
    if strength not in pipelines:
        pipelines[strength] = _build(strength)
    return pipelines[strength]


def _build(strength: float) -> "albumentations.Compose":
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks the network
    import albumentations  # here, as it takes seconds and only training needs it

    scale = (1 - strength, 1 + strength)
    hue = (-HUE_SHARE * strength, HUE_SHARE * strength)
    shift = (-LIGHT_SHARE * strength, LIGHT_SHARE * strength)
    return albumentations.Compose(
        [
            albumentations.ColorJitter(brightness=scale, contrast=scale, saturation=scale, hue=hue, p=1),
            albumentations.RGBShift(shift, shift, shift, p=1),
        ]
    )
