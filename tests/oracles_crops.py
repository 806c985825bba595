"""The 144 test crops as the paper's words have them, one by one and with PIL, for comparison with the plan."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

from detector.records import Array


@dataclass(frozen=True)
class WantedCrop:
    """A crop in the paper's words, where it lies in the scaled image, and its pixels (S, S, 3) uint8."""

    scale: int
    square: str
    part: str
    mirrored: bool
    box: tuple[int, int, int, int]
    pixels: Array

    @property
    def geometry(self) -> tuple[object, ...]:
        return self.scale, self.box, self.part == "whole", self.mirrored


def nearest(value: Fraction) -> int:
    """The nearest integer, halves up."""
    return int((value + Fraction(1, 2)) // 1)


def walk_crops(image: Array, size: int) -> list[WantedCrop]:
    """All crops of image (H, W, 3) uint8 for the input size, in the order of the paper's sentence."""
    crops = []
    height, width = image.shape[:2]
    for paper_scale in (256, 288, 320, 352):
        scale = nearest(Fraction(paper_scale * size, 224))
        factor = Fraction(scale, min(height, width))
        scaled = Image.fromarray(image).resize(
            (nearest(width * factor), nearest(height * factor)), Image.Resampling.BILINEAR
        )
        for square in ("left", "centre", "right") if width >= height else ("top", "centre", "bottom"):
            x = {"right": scaled.width - scale}.get(square, (scaled.width - scale) // 2 * (square == "centre"))
            y = {"bottom": scaled.height - scale}.get(square, (scaled.height - scale) // 2 * (square == "centre"))
            for part in ("top left", "top right", "bottom left", "bottom right", "centre", "whole"):
                box = part_of_square(x, y, scale, size, part)
                crop = scaled.crop(box)
                if part == "whole":
                    crop = crop.resize((size, size), Image.Resampling.BILINEAR)
                pixels = np.asarray(crop)
                crops.append(WantedCrop(scale, square, part, False, box, pixels))
                crops.append(WantedCrop(scale, square, part, True, box, pixels[:, ::-1]))
    return crops


def part_of_square(x: int, y: int, side: int, size: int, part: str) -> tuple[int, int, int, int]:
    if part == "whole":
        return x, y, x + side, y + side
    if part == "centre":
        x, y = x + (side - size) // 2, y + (side - size) // 2
    if "right" in part:
        x = x + side - size
    if "bottom" in part:
        y = y + side - size
    return x, y, x + size, y + size
