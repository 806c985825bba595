"""Hierarchical grouping of superpixels by similarity (Uijlings et al., IJCV 2013, sections 3.1 and 3.2).

Similarities are sums of integers in units of 2 ** -16, so that they are the same on every machine. Of equally
similar pairs the one with the lowest region is merged first, then the one with the lower partner; a merged region
is numbered after all regions before it.

Texture: the eight orientations are 0, 45, ..., 315 degrees and a response below zero counts as zero, so that
opposite orientations share one derivative.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from detector.errors import DataError
from detector.proposals.segmentation import Int32, find_root
from detector.records import Array, Float32, Image

COLOUR_BINS = 25  # a channel
TEXTURE_BINS = 10  # a channel and orientation
AXES = 4  # pairs of opposite orientations
SIGNED_BINS = 2 * TEXTURE_BINS - 1  # of an axis: the two orientations share the bin of no response
TEXTURE_SIGMA = 1.0
TEXTURE_RANGE = 100.0

UNIT = 2**16  # a similarity of 1
REGION_BITS = 22
MAX_REGIONS = 2 ** (REGION_BITS - 1)


class Similarity(NamedTuple):
    """Which terms the similarity of two regions is the sum of (equation 6 of the paper)."""

    colour: bool = False
    texture: bool = False
    size: bool = False
    fill: bool = False


@dataclass(frozen=True, eq=False)
class Regions:
    """The R superpixels of an image.

    sizes (R,) pixels; boxes (R, 4) inclusive pixels x1, y1, x2, y2; colour (R, 25 C) and texture (R, 80 C) pixel
    counts of the histograms of C channels; pairs (P, 2) of 8-connected neighbours, lower first, sorted.
    """

    sizes: Int32
    boxes: Int32
    colour: Int32
    texture: Int32
    pairs: Int32


def pixel_bins(image: Array) -> Image:
    """The histogram bins (H, W, 5 C) of each pixel of `image` (H, W, C) uint8.

    First the C colours' bins, 0..24; then for each channel those of the axes 0, 45, 90, 135 degrees: 9 is no
    response, 10..18 a response along the axis, 8..0 one against it, strongest last.
    """
    height, width, channels = image.shape
    bins = np.empty((height, width, (1 + AXES) * channels), np.uint8)
    bins[..., :channels] = cv2.LUT(image, (np.arange(256) * COLOUR_BINS // 256).astype(np.uint8)).reshape(image.shape)
    along_x, along_y = _derivatives(image)
    _bin_responses(along_x, along_y, TEXTURE_BINS / TEXTURE_RANGE, bins[..., channels:])
    return bins


def describe_regions(labels: Int32, bins: Image) -> Regions:
    """The superpixels of `labels` (H, W) in 0..R-1, all in use, from the `pixel_bins` of the image."""
    count = int(labels.max()) + 1
    channels = bins.shape[2] // (1 + AXES)
    offsets = np.cumsum([0] + [COLOUR_BINS] * channels + [SIGNED_BINS] * (AXES * channels))
    counts = np.zeros((count, offsets[-1]), np.int32)
    sizes = np.zeros(count, np.int32)
    boxes = np.tile(np.array([*labels.shape[::-1], -1, -1], np.int32), (count, 1))
    _accumulate(labels, bins, offsets[:-1], counts, sizes, boxes)
    colour, signed = np.split(counts, [COLOUR_BINS * channels], axis=1)
    keys = np.unique(_touching(labels, count))
    pairs = np.stack(np.divmod(keys, count), axis=1).astype(np.int32)
    return Regions(sizes, boxes, colour, _rectify(signed.reshape(count, -1, SIGNED_BINS), sizes), pairs)


def group(regions: Regions, similarity: Similarity) -> Int32:
    """Inclusive boxes (2R - 1, 4) of the superpixels and of every region that merging the most similar makes.

    The superpixels come first, in their order, then merged regions as they are made; the last is the image.
    """
    if len(regions.sizes) > MAX_REGIONS:
        raise DataError(f"superpixels of an image must be at most {MAX_REGIONS}, got {len(regions.sizes)}")
    counts, shares = _histograms(regions, similarity)
    return _group(
        regions.sizes, regions.boxes, counts, shares, regions.pairs, int(similarity.size), int(similarity.fill)
    )


def _histograms(regions: Regions, similarity: Similarity) -> tuple[Int32, Array]:
    """Counts (R, B) of the histograms in use and the weight (B,) of each: those of a kind sum to one together."""
    kinds = [(regions.colour, COLOUR_BINS)] * similarity.colour + [(regions.texture, TEXTURE_BINS)] * similarity.texture
    parts = [np.empty((len(regions.sizes), 0), np.int32), *(counts for counts, _ in kinds)]
    shares = [np.full(counts.shape[1], bins / counts.shape[1]) for counts, bins in kinds]
    return np.concatenate(parts, axis=1), np.concatenate([np.empty(0), *shares])


def _derivatives(image: Array) -> tuple[Float32, Float32]:
    """Gaussian derivatives (H, W, C) of `image` along x and y."""
    reach = np.arange(-4, 5)
    bell = np.exp(-(reach**2) / (2 * TEXTURE_SIGMA**2))
    bell /= bell.sum()
    slope = reach * bell / (reach**2 * bell).sum()
    along_x = cv2.sepFilter2D(image, cv2.CV_32F, slope, bell, borderType=cv2.BORDER_REPLICATE)
    along_y = cv2.sepFilter2D(image, cv2.CV_32F, bell, slope, borderType=cv2.BORDER_REPLICATE)
    return along_x.reshape(image.shape), along_y.reshape(image.shape)


def _rectify(signed: Int32, sizes: Int32) -> Int32:
    """Histograms (R, 80 C) of the eight orientations from those (R, 4 C, 19) of the axes."""
    texture = np.empty((*signed.shape[:2], 2, TEXTURE_BINS), np.int32)
    texture[:, :, 0, 1:] = signed[:, :, TEXTURE_BINS:]
    texture[:, :, 1, 1:] = signed[:, :, TEXTURE_BINS - 2 :: -1]
    texture[..., 0] = sizes[:, None, None] - texture[..., 1:].sum(axis=-1)
    return texture.reshape(len(sizes), -1)


@numba.njit(cache=True, nogil=True)
def _bin_responses(along_x, along_y, scale, bins):  # type: ignore[no-untyped-def]
    height, width, channels = along_x.shape
    middle = np.int32(TEXTURE_BINS - 1)
    straight = np.float32(scale)
    slanted = np.float32(scale / np.sqrt(2.0))
    for y in range(height):
        for x in range(width):
            for channel in range(channels):
                dx, dy = along_x[y, x, channel], along_y[y, x, channel]
                responses = (dx * straight, (dx + dy) * slanted, dy * straight, (dy - dx) * slanted)
                for axis in range(AXES):
                    step = min(max(np.int32(responses[axis]), -middle), middle)
                    bins[y, x, AXES * channel + axis] = middle + step


@numba.njit(cache=True, nogil=True)
def _accumulate(labels, bins, offsets, counts, sizes, boxes):  # type: ignore[no-untyped-def]
    height, width, kinds = bins.shape
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            sizes[label] += 1
            box = boxes[label]
            box[0] = min(box[0], x)
            box[1] = min(box[1], y)
            box[2] = max(box[2], x)
            box[3] = max(box[3], y)
            row = counts[label]
            for kind in range(kinds):
                row[offsets[kind] + bins[y, x, kind]] += 1


@numba.njit(cache=True, nogil=True)
def _touching(labels, count):  # type: ignore[no-untyped-def]
    """Keys low * count + high of the labels of 8-connected pixels that differ; repeats remain."""
    height, width = labels.shape
    keys = np.empty(4 * height * width, np.int64)
    found = 0
    for y in range(height):
        for x in range(width):
            a = np.int64(labels[y, x])
            for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
                if y + down < height and 0 <= x + right < width:
                    b = np.int64(labels[y + down, x + right])
                    if a != b:
                        keys[found] = min(a, b) * count + max(a, b)
                        found += 1
    return keys[:found]


@numba.njit(cache=True, nogil=True)
def _group(superpixel_sizes, superpixel_boxes, counts, shares, pairs, use_size, use_fill):  # type: ignore[no-untyped-def]
    """The boxes of the hierarchy; row[r] is where region r's histogram is kept, a merged one takes its parent's."""
    count = superpixel_sizes.shape[0]
    total = 2 * count - 1
    area = superpixel_sizes.sum()
    sizes = np.empty(total, np.int64)
    sizes[:count] = superpixel_sizes
    boxes = np.empty((total, 4), np.int32)
    boxes[:count] = superpixel_boxes
    row = np.arange(total)
    profiles = np.empty_like(counts)
    for region in range(count):
        _normalise(counts[region], shares, sizes[region], profiles[region])
    owner = np.arange(total)
    seen = np.full(total, -1)
    heads, following, partners = _adjacency(pairs, total)
    heap = np.empty(max(16, 2 * pairs.shape[0]), np.int64)
    filled = 0
    for i in range(pairs.shape[0]):
        a, b = pairs[i]
        key = _rank(a, b, row, profiles, sizes, boxes, area, use_size, use_fill)
        heap, filled = _push(heap, filled, key)
    for region in range(count, total):
        while True:
            key, filled = _pop(heap, filled)
            a, b = (key >> REGION_BITS) & (2**REGION_BITS - 1), key & (2**REGION_BITS - 1)
            if owner[a] == a and owner[b] == b:
                break
        owner[a] = owner[b] = region
        sizes[region] = sizes[a] + sizes[b]
        boxes[region, :2] = np.minimum(boxes[a, :2], boxes[b, :2])
        boxes[region, 2:] = np.maximum(boxes[a, 2:], boxes[b, 2:])
        row[region] = row[a]
        counts[row[a]] += counts[row[b]]
        _normalise(counts[row[a]], shares, sizes[region], profiles[row[a]])
        _join_neighbours(region, a, b, owner, seen, heads, following, partners)
        link = heads[region]
        while link >= 0:
            key = _rank(partners[link], region, row, profiles, sizes, boxes, area, use_size, use_fill)
            heap, filled = _push(heap, filled, key)
            link = following[link]
    return boxes


@numba.njit(cache=True, nogil=True)
def _normalise(counts, shares, size, profile):  # type: ignore[no-untyped-def]
    scale = UNIT / size
    for i in range(counts.shape[0]):
        profile[i] = np.int32(counts[i] * (shares[i] * scale) + 0.5)


@numba.njit(cache=True, nogil=True)
def _adjacency(pairs, total):  # type: ignore[no-untyped-def]
    """Linked lists of neighbours: partners[heads[r]], partners[following[heads[r]]], ... until -1."""
    heads = np.full(total, -1)
    following = np.empty(2 * pairs.shape[0], np.int64)
    partners = np.empty(2 * pairs.shape[0], np.int64)
    for i in range(pairs.shape[0]):
        for side in range(2):
            link = 2 * i + side
            region = pairs[i, side]
            partners[link] = pairs[i, 1 - side]
            following[link] = heads[region]
            heads[region] = link
    return heads, following, partners


@numba.njit(cache=True, nogil=True)
def _join_neighbours(region, a, b, owner, seen, heads, following, partners):  # type: ignore[no-untyped-def]
    """Make the list of `region` from the links of `a` and `b`, each neighbour once."""
    for parent in (a, b):
        link = heads[parent]
        while link >= 0:
            after = following[link]
            partner = find_root(owner, partners[link])
            if partner != region and seen[partner] != region:
                seen[partner] = region
                partners[link] = partner
                following[link] = heads[region]
                heads[region] = link
            link = after


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _rank(a, b, row, profiles, sizes, boxes, area, use_size, use_fill):  # type: ignore[no-untyped-def]
    """The heap's key of the pair a < b: least for the most similar, then by `a`, then by `b`."""
    similarity = 0
    first, second = profiles[row[a]], profiles[row[b]]
    shared = np.int32(0)
    for i in range(first.shape[0]):
        shared += min(first[i], second[i])
    both = sizes[a] + sizes[b]
    similarity = np.int64(shared)
    if use_size:
        similarity += (area - both) * UNIT // area
    if use_fill:
        width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0]) + 1
        height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1]) + 1
        similarity += (area - (width * height - both)) * UNIT // area
    return (-similarity << (2 * REGION_BITS)) | (a << REGION_BITS) | b


@numba.njit(cache=True, nogil=True)
def _push(heap, filled, key):  # type: ignore[no-untyped-def]
    """Add `key` to the binary heap heap[:filled]; return the heap, which may have moved, and its new size."""
    if filled == heap.shape[0]:
        larger = np.empty(2 * filled, np.int64)
        larger[:filled] = heap
        heap = larger
    place = filled
    while place > 0 and heap[(place - 1) // 2] > key:
        heap[place] = heap[(place - 1) // 2]
        place = (place - 1) // 2
    heap[place] = key
    return heap, filled + 1


@numba.njit(cache=True, nogil=True)
def _pop(heap, filled):  # type: ignore[no-untyped-def]
    """Remove the least key of heap[:filled]; return it and the new size."""
    least, key = heap[0], heap[filled - 1]
    filled -= 1
    place = 0
    while 2 * place + 1 < filled:
        child = 2 * place + 1
        if child + 1 < filled and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = key
    return least, filled
