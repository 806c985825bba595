"""Telling boxes that are stated by two corners from those stated by a point and sides, as their format has it."""

import numpy as np

from detector.records import Array, Bool, Float64

FEWEST = 10  # boxes of which it is asked
MOST = 0.5  # share of them that lies beyond the image, where boxes are right a few do
ALL_BUT_FEW = 0.95
OVER = 1.01  # sides of the image that a corner may be off, by rounding


def corners_error(
    first: Float64, sides: Float64, sizes: Array, beyond: Bool, wanted: str, where: object
) -> str | None:
    """A message where most boxes reach beyond their image, and as two corners would all lie in it; else None.

    first and sides (G, 2) are what the file `where` states, `wanted` by its format; sizes (G, 2) the widths and
    heights of the images in the same unit, 0 where they are not known; beyond (G,) says which boxes reach beyond.
    """
    known = (sizes > 0).all(axis=1)
    if np.count_nonzero(known) < FEWEST or np.mean(beyond[known]) < MOST:
        return None
    inside = (first >= 0) & (sides > first) & (sides <= OVER * sizes)
    if np.mean(inside[known].all(axis=1)) < ALL_BUT_FEW:
        return None
    reach = f"boxes of which {np.mean(beyond[known]):.0%} reach beyond their image"
    return f"boxes must be {wanted}, got {reach}: are these two corners, x1, y1, x2, y2? ({where})"
