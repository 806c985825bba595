"""Graph segmentation of an image into superpixels (Felzenszwalb & Huttenlocher, IJCV 2004).

Differs from the paper: the square roots of edge weights, their grades, are rounded and then sorted by counting.
Weights under one grey level are so within 1/3000 of it. They have to be fine: `k` over the pixels of a smooth sky
is little more than that, and where weights are coarser it falls apart. Edges of equal grade are taken by their
pixel in raster order, then by direction: right, down left, down, down right.

Several scales of one image share most of the work. Until one of its edges is refused, a component of the paper's
algorithm is also one at every larger k. So the smallest k grows such components, the fragments, over all edges,
and each scale then merges fragments over the few edges between them. Of the edges between two fragments only the
lightest can merge anything, because whoever refuses an edge is done: the others may be left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.jit import njit
from detector.records import Array, Float32

GRADES = (
    3000  # of grade g is the weight (g / 3000) ** 2 grey levels; three channels differ by at most 255 * sqrt(3)
)
NO_EDGE = 2**16 - 1  # above every grade
NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))  # of a pixel, down and right, in order of the directions
DIRECTIONS = len(NEIGHBOURS)
UNLIMITED = 2.0**64  # a k that no edge of no image exceeds
BLOCK = 512  # edges that are looked at together
MEMORY_BITS = 15  # of a memory of keys: see `is_new`
SCATTER = np.uint64(0x9E3779B97F4A7C15)  # 2 ** 64 over the golden ratio (Fibonacci hashing)

Int32 = NDArray[np.int32]
UInt16 = NDArray[np.uint16]
UInt32 = NDArray[np.uint32]  # of pixels, edges and fragments: numba indexes faster where nothing is negative


class Scale(NamedTuple):
    """The paper's scale of observation `k`, grey levels times pixels, and the fewest pixels of a superpixel."""

    k: float
    min_size: int


@dataclass(frozen=True, eq=False)
class PixelGraph:
    """The 8-connected graph of an image's pixels, edges lightest first.

    Edge 4p + d joins pixel p = y * width + x to its neighbour in direction d. Those of grade g are
    edges[starts[g]:starts[g + 1]].
    """

    height: int
    width: int
    edges: UInt32
    starts: Int32


@dataclass(frozen=True, eq=False)
class Fragments:
    """What the superpixels of an image are made of at every k from some k on, as a graph.

    labels (H, W) in 0..F-1, by their first pixel in raster order; sizes (F,) pixels; heaviest (F,) is the grade
    of the last merge. Edge i, lightest first, joins ends[0, i] and ends[1, i] and is of grade grades[i].
    """

    labels: Int32
    sizes: Int32
    heaviest: UInt16
    ends: UInt32
    grades: UInt16


def pixel_graph(image: Array, sigma: float) -> PixelGraph:
    """The graph of `image` (H, W, C) uint8, C at most 3, smoothed by a Gaussian of `sigma` pixels (0: not)."""
    height, width = image.shape[:2]
    grades = edge_grades(smooth(image, sigma))
    starts = _first_of_grades(grades)
    return PixelGraph(height, width, _sort_edges(grades, starts), starts)


def segment(graph: PixelGraph, scales: Sequence[Scale]) -> tuple[Int32, list[Int32]]:
    """The superpixels at each of `scales` as unions of pieces, which are in one superpixel at every scale.

    Returns the labels (H, W) in 0..P-1 of the pieces and, for each scale, the superpixel (P,) in 0..R-1 of each
    piece: `superpixels[pieces]` is the segmentation. Pieces and superpixels are numbered by their first pixel in
    raster order. Superpixels of fewer than `min_size` pixels are merged over the lightest edges that leave them.
    """
    fragments = _fragments(graph, min(scale.k for scale in scales))
    labelings = np.stack([_merge_fragments(fragments, scale) for scale in scales])
    pieces, members = _number(_join_agreeing(fragments.ends, labelings))
    return pieces.take(fragments.labels), list(labelings.take(members, axis=1))


def smooth(image: Array, sigma: float) -> Float32:
    """`image` (H, W, C) uint8 as planes (C, H, W), smoothed; borders are repeated."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32)
    if sigma == 0:
        return planes
    side = 2 * math.ceil(4 * sigma) + 1
    blurred = [cv2.GaussianBlur(plane, (side, side), sigma, borderType=cv2.BORDER_REPLICATE) for plane in planes]
    return np.stack(blurred)


def edge_grades(planes: Float32) -> UInt16:
    """Grades (4, H, W) of the edges from each pixel of (C, H, W) to its neighbour in each direction, or NO_EDGE.

    An edge weighs the distance of the two colours.
    """
    grades = np.empty((DIRECTIONS, *planes.shape[1:]), np.uint16)
    _grade_edges(planes, grades)
    return grades


def _fragments(graph: PixelGraph, k: float) -> Fragments:
    """The fragments for all scales of `k` and more."""
    pixels = graph.height * graph.width
    parent = np.arange(pixels, dtype=np.uint32)
    size = np.ones(pixels, np.int32)
    heaviest = np.zeros(pixels, np.uint16)
    steps = np.array([down * graph.width + right for down, right in NEIGHBOURS], np.uint32)
    refused, grades = _grow(graph.edges, graph.starts, steps, _in_grades(k), parent, size, heaviest)
    labels, roots = _number(parent)
    shaped = labels.reshape(graph.height, graph.width)
    return Fragments(shaped, size[roots], heaviest[roots], *_drop_repeated(refused, grades, steps, labels))


def _merge_fragments(fragments: Fragments, scale: Scale) -> Int32:
    """The superpixel (F,) of each fragment at `scale`, numbered in the fragments' order."""
    parent = np.arange(len(fragments.sizes), dtype=np.uint32)
    size = fragments.sizes.copy()
    ends, grades, heaviest = fragments.ends, fragments.grades, fragments.heaviest
    crossing = _merge_alike(ends, grades, _in_grades(scale.k), parent, size, heaviest)
    _merge_small(ends, crossing, min(scale.min_size, fragments.labels.size), parent, size)
    return _number(parent)[0]


def _in_grades(k: float) -> float:
    """`k` as squares of grades measure it."""
    return min(k, UNLIMITED) * GRADES**2


@njit(nogil=True)
def _grade_edges(planes, grades):  # type: ignore[no-untyped-def]
    channels, height, width = planes.shape
    grades[:] = NO_EDGE
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
                    difference = here[i] - there[i]
                    squares[i] += difference * difference
            out = grades[direction, y, first:last]
            for i in range(squares.shape[0]):
                out[i] = np.uint16(np.sqrt(np.sqrt(squares[i])) * np.float32(GRADES) + np.float32(0.5))


@njit(nogil=True)
def _first_of_grades(grades):  # type: ignore[no-untyped-def]
    """How many edges are lighter than each grade, and in the end the number of edges, (NO_EDGE + 1,)."""
    starts = np.zeros(NO_EDGE + 2, np.int32)
    for grade in grades.ravel():
        starts[grade + 1] += 1
    return np.cumsum(starts[: NO_EDGE + 1]).astype(np.int32)


@njit(nogil=True)
def _sort_edges(grades, starts):  # type: ignore[no-untyped-def]
    """Edges in stable order of their grades; starts (NO_EDGE + 1,) holds where each grade begins."""
    edges = np.empty(starts[-1], np.uint32)
    place = starts.copy()
    flat = grades.reshape(DIRECTIONS, -1)
    for pixel in range(flat.shape[1]):
        for direction in range(DIRECTIONS):
            grade = flat[direction, pixel]
            if grade != NO_EDGE:
                edges[place[grade]] = DIRECTIONS * pixel + direction
                place[grade] += 1
    return edges


@njit(nogil=True)
def find_root(parent, node):  # type: ignore[no-untyped-def]
    """The root of `node` in the forest `parent`; the path to it is shortened."""
    root = parent[parent[node]]
    while parent[root] != root:  # seldom: so there is nothing for the processor to guess
        parent[root] = parent[parent[root]]
        root = parent[root]
    parent[node] = root
    return root


@njit(nogil=True)
def _find_ends(parent, steps, edge):  # type: ignore[no-untyped-def]
    """The roots of the two pixels that `edge` joins."""
    pixel = np.uint32(edge // DIRECTIONS)
    return find_root(parent, pixel), find_root(parent, np.uint32(pixel + steps[edge % DIRECTIONS]))


@njit(nogil=True, error_model="numpy")
def _grow(edges, starts, steps, k, parent, size, heaviest):  # type: ignore[no-untyped-def]
    """Merge as the paper does, but each component only until an edge of it is refused.

    Returns the refused edges in their order and their grades.
    """
    limit = np.full(parent.shape[0], _limit(0, k, 1), np.int32)
    refused, grades = np.empty_like(edges), np.empty(edges.shape[0], np.uint16)
    open_places = np.empty(BLOCK, np.uint32)
    count = grade = 0
    for start in range(0, edges.shape[0], BLOCK):
        for place in open_places[: _leave_open(edges, start, steps, parent, open_places)]:
            edge = edges[place]
            a, b = _find_ends(parent, steps, edge)
            if a == b:
                continue
            while starts[grade + 1] <= place:
                grade += 1
            if grade <= limit[a] and grade <= limit[b]:
                root = _unite(parent, size, a, b)
                heaviest[root] = grade
                limit[root] = _limit(grade, k, size[root])
            else:
                limit[a] = limit[b] = -1
                refused[count], grades[count] = edge, grade
                count += 1
    return refused[:count], grades[:count]


@njit(nogil=True)
def _leave_open(edges, start, steps, parent, open_places):  # type: ignore[no-untyped-def]
    """Write the places of the edges between two components, in the block from `start`; return their number.

    There is no branch that a processor could guess wrong: that is why edges are looked at in blocks.
    """
    count = 0
    for place in range(start, min(start + BLOCK, edges.shape[0])):
        a, b = _find_ends(parent, steps, edges[place])
        open_places[count] = place
        count += int(a != b)
    return count


@njit(nogil=True, error_model="numpy")
def _limit(grade, k, size):  # type: ignore[no-untyped-def]
    """The grade, rounded down, up to which a component accepts edges; its last merge was of `grade`."""
    return np.int32(min(np.sqrt(np.float64(grade) ** 2 + k / size), np.float64(NO_EDGE)))


@njit(nogil=True)
def _drop_repeated(edges, grades, steps, labels):  # type: ignore[no-untyped-def]
    """Ends (2, E) and grades (E,) of `edges` between labels, most of those that join a pair again left out."""
    ends, kept = np.empty((2, edges.shape[0]), np.uint32), np.empty_like(grades)
    memory = np.zeros(2**MEMORY_BITS, np.uint64)
    count = 0
    for i in range(edges.shape[0]):
        pixel = np.uint32(edges[i] // DIRECTIONS)
        a, b = labels[pixel], labels[np.uint32(pixel + steps[edges[i] % DIRECTIONS])]
        ends[0, count], ends[1, count], kept[count] = a, b, grades[i]
        count += is_new(memory, pair_key(a, b))
    return ends[:, :count].copy(), kept[:count].copy()


@njit(nogil=True)
def pair_key(a, b):  # type: ignore[no-untyped-def]
    """The lower of two labels in the upper 32 bits, the higher one in the others."""
    return np.uint64(min(a, b)) << np.uint64(32) | np.uint64(max(a, b))


@njit(nogil=True)
def is_new(memory, key):  # type: ignore[no-untyped-def]
    """0 for a `key` above 0 that is in `memory` (2 ** MEMORY_BITS,), which forgets: it has one place for many."""
    place = (key * SCATTER) >> np.uint64(64 - MEMORY_BITS)
    new = int(memory[place] != key)
    memory[place] = key
    return new


@njit(nogil=True)
def _merge_alike(ends, grades, k, parent, size, heaviest):  # type: ignore[no-untyped-def]
    """Merge as the paper does; return the edges between two components when visited."""
    limit = np.empty(parent.shape[0], np.int32)
    for node in range(parent.shape[0]):
        limit[node] = _limit(heaviest[node], k, size[node])
    crossing = np.empty(grades.shape[0], np.uint32)
    count = 0
    for edge in range(grades.shape[0]):
        a, b = find_root(parent, ends[0, edge]), find_root(parent, ends[1, edge])
        if a == b:
            continue
        if grades[edge] <= limit[a] and grades[edge] <= limit[b]:
            root = _unite(parent, size, a, b)
            limit[root] = _limit(grades[edge], k, size[root])
        else:
            crossing[count] = edge
            count += 1
    return crossing[:count]


@njit(nogil=True)
def _merge_small(ends, edges, min_size, parent, size):  # type: ignore[no-untyped-def]
    for edge in edges:
        a, b = find_root(parent, ends[0, edge]), find_root(parent, ends[1, edge])
        if a != b and min(size[a], size[b]) < min_size:
            _unite(parent, size, a, b)


@njit(nogil=True)
def _join_agreeing(ends, labelings):  # type: ignore[no-untyped-def]
    """A forest of nodes: those of an edge are joined where every row of `labelings` (K, F) labels them alike."""
    rows, nodes = labelings.shape
    parent = np.arange(nodes).astype(np.uint32)
    size = np.ones(nodes, np.int32)
    for edge in range(ends.shape[1]):
        agree = True
        for row in range(rows):
            agree &= labelings[row, ends[0, edge]] == labelings[row, ends[1, edge]]
        if agree:
            a, b = find_root(parent, ends[0, edge]), find_root(parent, ends[1, edge])
            if a != b:
                _unite(parent, size, a, b)
    return parent


@njit(nogil=True)
def _unite(parent, size, a, b):  # type: ignore[no-untyped-def]
    """Join the trees of roots `a` and `b` and return the root of both."""
    root, child = (a, b) if size[a] >= size[b] else (b, a)
    parent[child] = root
    size[root] += size[child]
    return root


@njit(nogil=True)
def _number(parent):  # type: ignore[no-untyped-def]
    """The tree (N,) of each node, numbered by their first nodes, and each tree's root."""
    labels = np.empty(parent.shape[0], np.int32)
    label_of = np.full(parent.shape[0], -1, np.int32)
    roots = np.empty(parent.shape[0], np.uint32)
    count = 0
    for node in range(parent.shape[0]):
        root = find_root(parent, node)
        if label_of[root] < 0:
            label_of[root] = count
            roots[count] = root
            count += 1
        labels[node] = label_of[root]
    return labels, roots[:count].copy()
