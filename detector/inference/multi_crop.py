"""The test crops of the classifier (arXiv 1409.4842, section 7).

The image is scaled to four sizes; at each, three squares are taken; in each square the four corners and the centre
at the network's input size, and the square scaled to it; each mirrored: 4 x 3 x 6 x 2 = 144. The crops are ordered
so that the first is the single crop and the first ten are those of the 10-crop test: one pass over 144 crops gives
the results of all three, as means over prefixes.

Not in the paper: the single crop and the ten are taken at the smallest scale, from the centre square. Lengths are
rounded to the nearest pixel, half a pixel up, and what cannot be centred lies half a pixel to the top left. For
another input size than 224 the scales keep their proportion to it. The three squares of a square image coincide
and count all the same. Images smaller than a scale are enlarged. Scaling is bilinear and antialiased, and keeps
fractions of a grey value; the whole squares are scaled from the scaled image, not from the file's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from detector.errors import ConfigError
from detector.networks.warp import Preprocessing, prepare_image
from detector.records import Bool, Int64

CROPS = (1, 10, 144)  # Table 3
SCALES = (256, 288, 320, 352)  # shorter side, pixels, for crops of 224
PAPER_CROP_SIZE = 224
SQUARES = ("centre", "first", "last")  # first: left of a landscape image, top of a portrait one

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class CropPlan:
    """Where the K crops of an image lie, the single crop first.

    scales (K,) i64 shorter side of the scaled image; squares (K,) i64 position in `SQUARES`; boxes (K, 4) i64
    (x1, y1, x2, y2) in pixels of the scaled image; whole (K,) bool: the box is a square that is scaled to the crop
    size, where the others have that size; mirrored (K,) bool: left and right are exchanged at the end.
    """

    scales: Int64
    squares: Int64
    boxes: Int64
    whole: Bool
    mirrored: Bool

    def __len__(self) -> int:
        return len(self.scales)


def plan_crops(height: int, width: int, count: int, crop_size: int = PAPER_CROP_SIZE) -> CropPlan:
    """The first `count` (of `CROPS`) test crops of an image of `height` x `width` pixels."""
    if count not in CROPS:
        raise ConfigError(f"crops must be one of {', '.join(map(str, CROPS))}, got {count}")
    crops = islice(_all_crops(height, width, crop_size), count)
    scales, squares, boxes, whole, mirrored = zip(*crops, strict=True)
    return CropPlan(
        np.array(scales, np.int64),
        np.array(squares, np.int64),
        np.array(boxes, np.int64),
        np.array(whole, np.bool_),
        np.array(mirrored, np.bool_),
    )


def crop_scales(crop_size: int) -> tuple[int, ...]:
    """The shorter sides that images are scaled to, smallest first."""
    return tuple(_rounded(scale * crop_size, PAPER_CROP_SIZE) for scale in SCALES)


def scaled_size(height: int, width: int, scale: int) -> tuple[int, int]:
    """Height and width after scaling the shorter side to `scale` pixels, the aspect kept."""
    shorter = min(height, width)
    return _rounded(height * scale, shorter), _rounded(width * scale, shorter)


def cut_crops(image: Tensor, count: int, preprocessing: Preprocessing, crop_size: int) -> Tensor:
    """The network's input (count, 3, S, S) f32, S = `crop_size`, of an RGB image (H, W, 3) uint8, on its device.

    In the order of `plan_crops`.
    """
    height, width = image.shape[:2]
    plan = plan_crops(height, width, count, crop_size)
    prepared = prepare_image(image, preprocessing)
    scaled = {
        scale: _resize(prepared, scaled_size(height, width, scale)) for scale in np.unique(plan.scales).tolist()
    }
    rows = zip(plan.scales.tolist(), plan.boxes.tolist(), plan.whole, plan.mirrored, strict=True)
    crops = []
    for scale, (x1, y1, x2, y2), whole, mirrored in rows:
        crop = scaled[scale][:, :, y1:y2, x1:x2]
        if whole:
            crop = _resize(crop, (crop_size, crop_size))
        crops.append(crop.flip(3) if mirrored else crop)
    return torch.cat(crops)


def _all_crops(height: int, width: int, crop_size: int) -> Iterator[tuple[int, int, Box, bool, bool]]:
    """The 144 crops as rows of a plan."""
    for scale in crop_scales(crop_size):
        size = scaled_size(height, width, scale)
        for position, square in enumerate(_squares(*size, scale)):
            for whole, boxes in ((False, _windows(square, crop_size)), (True, [square])):
                for mirrored in (False, True):
                    for box in boxes:
                        yield scale, position, box, whole, mirrored


def _squares(height: int, width: int, side: int) -> list[Box]:
    """The three squares of an image whose shorter side is `side`, in the order of `SQUARES`."""
    free_x, free_y = width - side, height - side  # one of them is 0
    return [_box(x, y, side) for x, y in ((free_x // 2, free_y // 2), (0, 0), (free_x, free_y))]


def _windows(square: Box, size: int) -> list[Box]:
    """The centre of a square and its four corners, row by row, `size` pixels wide."""
    left, top, right, bottom = square
    free = right - left - size
    corners = [(left, top), (right - size, top), (left, bottom - size), (right - size, bottom - size)]
    return [_box(x, y, size) for x, y in [(left + free // 2, top + free // 2), *corners]]


def _box(x: int, y: int, side: int) -> Box:
    return x, y, x + side, y + side


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient of positive integers as the nearest integer, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, 3, H, W) at height and width `size`."""
    return functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
