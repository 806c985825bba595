"""Images in memory, encoded in many ways, whole and damaged."""

import io

import numpy as np
import PIL.Image

from detector.records import Image


def noisy_picture(height: int = 96, width: int = 128, seed: int = 0) -> Image:
    """Smooth colours with some noise, so that every part of its files has something to say."""
    random = np.random.default_rng(seed)
    coarse = PIL.Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), PIL.Image.Resampling.BICUBIC))
    return np.clip(smooth + random.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def encoded(image: Image | PIL.Image.Image, file_format: str, **options: object) -> bytes:
    """The file that Pillow writes of an image."""
    buffer = io.BytesIO()
    picture = image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def replaced(content: bytes, at: int, by: bytes) -> bytes:
    """The file with bytes overwritten."""
    return content[:at] + by + content[at + len(by) :]
