"""Made-up images with regions, for what turns drawn regions into batches."""

import numpy as np

from detector.records import Float32, Image


def picture(position: int) -> Image:
    random = np.random.default_rng(position)
    return random.integers(0, 256, (50 + position, 70, 3), dtype=np.uint8)


def boxes_of(position: int) -> Float32:
    random = np.random.default_rng([9, position])
    corner = random.uniform(0, 30, (6, 2))
    return np.concatenate([corner, corner + random.uniform(1, 20, (6, 2))], 1).astype(np.float32)


def darken(image: Image, seed: int) -> Image:
    return (image * np.random.default_rng(seed).uniform(0.5, 1)).astype(np.uint8)
