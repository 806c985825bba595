"""Random images and labels, and the regions of labels."""

import numpy as np

from detector.proposals.segments import Segments, describe_regions, pixel_bins
from detector.records import Array, Image


def random_labels(random: np.random.Generator, height: int, width: int) -> Array:
    """Labels 0..R-1, all in use, of patches that need not be connected."""
    coarse = random.integers(0, 12, (height // 3 + 1, width // 3 + 1))
    labels = coarse.repeat(3, axis=0).repeat(3, axis=1)[:height, :width]
    return np.unique(labels, return_inverse=True)[1].reshape(height, width).astype(np.int32)


def random_image(random: np.random.Generator, height: int, width: int, channels: int) -> Image:
    return random.integers(0, 256, (height, width, channels)).astype(np.uint8)


def describe(image: Image, labels: Array) -> Segments:
    return describe_regions(labels.astype(np.int32), pixel_bins(image))
