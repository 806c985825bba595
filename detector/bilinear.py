"""Bilinear samples on a grid of rows and columns, for CPUs.

A grid along the axes is two interpolations along one: every row of a crop is a mix of two rows of the image, which
are sampled at the crop's columns once and kept while the next rows of the crop need them.
"""

import numpy as np

from detector.jit import njit
from detector.records import COLOURS, Float32


def sample_grids(image: Float32, x: Float32, y: Float32, fill_outside: bool) -> Float32:
    """Samples (N, S, S, 3) of `image` (H, W, 3) at columns x and rows y (N, S) each, in continuous pixels, rising.

    Pixels have their centres at halves. Outside the image are its nearest pixels, or with `fill_outside` zeros.
    """
    count, size = x.shape
    crops = np.empty((count, size, size, COLOURS), np.float32)
    _sample_grids(np.ascontiguousarray(image), x, y, fill_outside, crops)
    return crops


@njit(nogil=True)
def _neighbours(position, extent):  # type: ignore[no-untyped-def]
    """The two pixels around a position, and the share of the second; beyond the outermost centres, the nearest."""
    from_first = min(max(position - np.float32(0.5), np.float32(0)), np.float32(extent - 1))
    first = min(np.int64(from_first), max(extent - 2, 0))
    return first, min(first + 1, extent - 1), from_first - np.float32(first)


@njit(nogil=True)
def _inside(positions, extent):  # type: ignore[no-untyped-def]
    """The range of rising positions that lie in the image."""
    first, end = 0, len(positions)
    while first < end and positions[first] < 0:
        first += 1
    while end > first and positions[end - 1] > extent:
        end -= 1
    return first, end


@njit(nogil=True)
def _sample_row(line, left, right, share, first, end, out):  # type: ignore[no-untyped-def]
    """Fill columns `first` to `end` of `out` (S * 3,); their two pixels begin at `left` and `right` in `line`."""
    for column in range(first, end):
        low, high, to = left[column], right[column], np.uint64(COLOURS * column)
        for channel in range(COLOURS):
            c = np.uint64(channel)  # unsigned indices: numba leaves out the test for negative ones
            out[to + c] = line[low + c] + share[column] * (line[high + c] - line[low + c])


@njit(nogil=True)
def _sample_grids(image, x, y, fill_outside, crops):  # type: ignore[no-untyped-def]
    height, width = image.shape[:2]
    size = x.shape[1]
    left, right = np.empty(size, np.uint64), np.empty(size, np.uint64)
    share = np.empty(size, np.float32)
    sampled = np.empty((2, size * COLOURS), np.float32)  # two rows of the image at the columns of the crop
    held = np.empty(2, np.int64)  # which rows these are
    for region in range(len(x)):
        first_x, end_x, first_y, end_y = 0, size, 0, size
        if fill_outside:
            first_x, end_x = _inside(x[region], width)
            first_y, end_y = _inside(y[region], height)
            crops[region, :first_y] = 0
            crops[region, end_y:] = 0
            sampled[:, : COLOURS * first_x] = 0
            sampled[:, COLOURS * end_x :] = 0
        for column in range(first_x, end_x):
            first, second, share[column] = _neighbours(x[region, column], width)
            left[column], right[column] = COLOURS * first, COLOURS * second
        held[:] = -1
        for row in range(first_y, end_y):
            upper, lower, weight = _neighbours(y[region, row], height)
            for wanted in (upper, lower):
                place = wanted % 2  # neighbours never share one
                if held[place] != wanted:
                    held[place] = wanted
                    _sample_row(image[wanted].reshape(-1), left, right, share, first_x, end_x, sampled[place])
            above, below = sampled[upper % 2], sampled[lower % 2]
            out = crops[region, row].reshape(-1)
            for each in range(len(out)):
                out[each] = above[each] + weight * (below[each] - above[each])
