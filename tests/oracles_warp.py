"""The region warp with explicit loops, for comparison with the batched one."""

import numpy as np

from detector.records import Array


def warp_one(image: Array, box: Array, crop_size: int, padding: int, fill: str = "mean") -> Array:
    """Crop (S, S, 3) f64 of image (H, W, 3): bilinear inside, edges held; outside zero, or the edges held too."""
    height, width = image.shape[:2]
    factor = crop_size / (crop_size - 2 * padding)
    x_centre, y_centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    x_side, y_side = (box[2] - box[0]) * factor, (box[3] - box[1]) * factor
    crop = np.zeros((crop_size, crop_size, 3))
    for row in range(crop_size):
        for column in range(crop_size):
            x = x_centre - x_side / 2 + (column + 0.5) / crop_size * x_side
            y = y_centre - y_side / 2 + (row + 0.5) / crop_size * y_side
            if fill == "image" or (0 <= x <= width and 0 <= y <= height):
                crop[row, column] = _bilinear(image, x - 0.5, y - 0.5)
    return crop


def _bilinear(image: Array, x: float, y: float) -> Array:
    height, width = image.shape[:2]
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    top = image[y0, x0] * (1 - (x - x0)) + image[y0, x1] * (x - x0)
    bottom = image[y1, x0] * (1 - (x - x0)) + image[y1, x1] * (x - x0)
    return top * (1 - (y - y0)) + bottom * (y - y0)
