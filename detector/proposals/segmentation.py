"""Graph segmentation of an image into superpixels (Felzenszwalb & Huttenlocher, IJCV 2004).

Differs from the paper: smoothed colours and edge weights are rounded to 1/128 grey level. From there on all is
integer arithmetic: exact, and sorted by counting. Edges of equal weight are taken by their pixel in raster order,
then by direction: right, down left, down, down right.
"""

import math
from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from detector.records import Array

LEVELS = 128  # units of weight in a grey level; three channels differ by at most 255 * 128 * sqrt(3) < 2 ** 16
NO_EDGE = 2**16 - 1
NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))  # of a pixel, down and right, in order of the directions
DIRECTIONS = len(NEIGHBOURS)
UNLIMITED = 2**48  # a k that no edge of no image exceeds

Int32 = NDArray[np.int32]
UInt32 = NDArray[np.uint32]  # of pixels and edges: numba indexes faster where nothing is negative


@dataclass(frozen=True, eq=False)
class PixelGraph:
    """The 8-connected graph of an image's pixels, edges lightest first.

    Edge 4p + d joins pixel p = y * width + x to its neighbour in direction d. Those of weight w are
    edges[starts[w]:starts[w + 1]]. One graph serves every k.
    """

    height: int
    width: int
    edges: UInt32
    starts: Int32


def pixel_graph(image: Array, sigma: float) -> PixelGraph:
    """The graph of `image` (H, W, C) uint8, C at most 3, smoothed by a Gaussian of `sigma` pixels (0: not)."""
    height, width = image.shape[:2]
    weights = edge_weights(smooth(image, sigma))
    starts = np.zeros(NO_EDGE + 1, np.int32)
    np.cumsum(np.bincount(weights.ravel(), minlength=NO_EDGE)[:NO_EDGE], out=starts[1:])
    return PixelGraph(height, width, _sort_edges(weights, starts), starts)


def segment(graph: PixelGraph, k: float, min_size: int) -> Int32:
    """Labels (H, W) in 0..R-1 of the superpixels, numbered by their first pixel in raster order.

    `k` is the paper's scale of observation in grey levels times pixels; superpixels of fewer than `min_size`
    pixels are then merged over the lightest edges that leave them.
    """
    pixels = graph.height * graph.width
    parent = np.arange(pixels, dtype=np.uint32)
    size = np.ones(pixels, np.int32)
    steps = np.array([down * graph.width + right for down, right in NEIGHBOURS], np.uint32)
    crossing = _merge_alike(graph.edges, graph.starts, steps, round(min(k * LEVELS, UNLIMITED)), parent, size)
    _merge_small(crossing, steps, min(min_size, pixels), parent, size)
    return _number(parent).reshape(graph.height, graph.width)


def smooth(image: Array, sigma: float) -> NDArray[np.uint16]:
    """`image` (H, W, C) uint8 as planes (C, H, W) in units of 1/128 grey level, smoothed; borders are repeated."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.uint16) * np.uint16(LEVELS)
    if sigma == 0:
        return planes
    side = 2 * math.ceil(4 * sigma) + 1
    blurred = [cv2.GaussianBlur(plane, (side, side), sigma, borderType=cv2.BORDER_REPLICATE) for plane in planes]
    return np.stack(blurred)


def edge_weights(planes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Colour distances (4, H, W) from each pixel of (C, H, W) to its neighbour in each direction, or NO_EDGE."""
    weights = np.empty((DIRECTIONS, *planes.shape[1:]), np.uint16)
    _measure_edges(planes, weights)
    return weights


@numba.njit(cache=True, nogil=True)
def _measure_edges(planes, weights):  # type: ignore[no-untyped-def]
    channels, height, width = planes.shape
    weights[:] = NO_EDGE
    for direction in range(DIRECTIONS):
        down, right = NEIGHBOURS[direction]
        first, last = max(0, -right), width - max(0, right)
        squares = np.empty(max(0, last - first), np.float32)
        for y in range(height - down):
            squares[:] = 0
            for channel in range(channels):
                here = planes[channel, y, first:last]
                there = planes[channel, y + down, first + right : last + right]
                for i in range(squares.shape[0]):
                    difference = np.float32(np.int32(here[i]) - np.int32(there[i]))
                    squares[i] += difference * difference
            out = weights[direction, y, first:last]
            for i in range(squares.shape[0]):
                out[i] = np.uint16(np.sqrt(squares[i]) + np.float32(0.5))


@numba.njit(cache=True, nogil=True)
def _sort_edges(weights, starts):  # type: ignore[no-untyped-def]
    """Edges in stable order of their weights; starts (NO_EDGE + 1,) holds where each weight begins."""
    edges = np.empty(starts[-1], np.uint32)
    place = starts.copy()
    flat = weights.reshape(DIRECTIONS, -1)
    for pixel in range(flat.shape[1]):
        for direction in range(DIRECTIONS):
            weight = flat[direction, pixel]
            if weight != NO_EDGE:
                edges[place[weight]] = DIRECTIONS * pixel + direction
                place[weight] += 1
    return edges


@numba.njit(cache=True, nogil=True)
def find_root(parent, node):  # type: ignore[no-untyped-def]
    """The root of `node` in the forest `parent`; the path to it is halved."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True, nogil=True)
def _find_ends(parent, steps, edge):  # type: ignore[no-untyped-def]
    """The roots of the two pixels that `edge` joins."""
    pixel = np.uint32(edge // DIRECTIONS)
    return find_root(parent, pixel), find_root(parent, np.uint32(pixel + steps[edge % DIRECTIONS]))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _merge_alike(edges, starts, steps, k, parent, size):  # type: ignore[no-untyped-def]
    """Merge the pixels' components as the paper does; return the edges between two of them when visited.

    A component's limit is the weight of its heaviest merge plus k / size, rounded down: the weights are integers.
    """
    limit = np.full(parent.shape[0], k, np.int64)
    crossing = np.empty_like(edges)
    count = 0
    for weight in range(starts.shape[0] - 1):
        for i in range(starts[weight], starts[weight + 1]):
            edge = edges[i]
            a, b = _find_ends(parent, steps, edge)
            if a == b:
                continue
            if weight <= limit[a] and weight <= limit[b]:
                root = _unite(parent, size, a, b)
                limit[root] = weight + k // size[root]
            else:
                crossing[count] = edge
                count += 1
    return crossing[:count]


@numba.njit(cache=True, nogil=True)
def _merge_small(edges, steps, min_size, parent, size):  # type: ignore[no-untyped-def]
    for edge in edges:
        a, b = _find_ends(parent, steps, edge)
        if a != b and min(size[a], size[b]) < min_size:
            _unite(parent, size, a, b)


@numba.njit(cache=True, nogil=True)
def _unite(parent, size, a, b):  # type: ignore[no-untyped-def]
    """Join the trees of roots `a` and `b` and return the root of both."""
    root, child = (a, b) if size[a] >= size[b] else (b, a)
    parent[child] = root
    size[root] += size[child]
    return root


@numba.njit(cache=True, nogil=True)
def _number(parent):  # type: ignore[no-untyped-def]
    labels = np.empty(parent.shape[0], np.int32)
    label_of = np.full(parent.shape[0], -1, np.int32)
    count = 0
    for pixel in range(parent.shape[0]):
        root = find_root(parent, pixel)
        if label_of[root] < 0:
            label_of[root] = count
            count += 1
        labels[pixel] = label_of[root]
    return labels
