"""Photographs with an orientation tag on disk."""

from pathlib import Path

import numpy as np
import PIL.Image

TAG = 0x0112


def write_turned(path: Path, orientation: int, height: int = 40, width: int = 60, seed: int = 0) -> Path:
    """A picture that is stored with these sides, and that its tag turns; seeds make others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tag = PIL.Image.Exif()
    tag[TAG] = orientation
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    PIL.Image.fromarray(coarse).resize((width, height)).save(path, "JPEG", exif=tag)
    return path
