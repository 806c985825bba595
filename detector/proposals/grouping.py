"""Hierarchical grouping of superpixels by similarity (Uijlings et al., IJCV 2013, sections 3.1 and 3.2).

Similarities are integers in units of 2 ** -16. Of equally similar pairs the one whose lower region is lowest is
merged first, then the one whose higher region is; a merged region is numbered after all regions before it.

The paper leaves open: the orientations of texture are 0, 45, ..., 315 degrees and a derivative below zero counts
as zero, so that opposite orientations share one derivative; its ten bins are 5 grey levels a pixel wide, what is
stronger falls in the last; neighbours are 8-connected.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numba
import numpy as np

from detector.errors import DataError
from detector.proposals.segmentation import NEIGHBOURS, Int32, find_root
from detector.records import Array, Float32, Float64, Image, Int64

COLOUR_BINS = 25  # a channel
TEXTURE_BINS = 10  # a channel and orientation
AXES = 4  # pairs of opposite orientations
SIGNED_BINS = 2 * TEXTURE_BINS - 1  # of an axis: the two orientations share the bin of no response
TEXTURE_STEP = 5.0  # grey levels a pixel in a bin; the edge of a step of 255 has a derivative of 102
TEXTURE_SIGMA = 1.0

COLOUR_BIN = (np.arange(256) * COLOUR_BINS // 256).astype(np.uint8)

UNIT = 2**16  # a similarity of 1
REGION_BITS = 22  # of a heap's key: similarity, lower region, higher region
REGION_MASK = 2**REGION_BITS - 1
MAX_SUPERPIXELS = 2 ** (REGION_BITS - 1)


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

    sizes: Int64
    boxes: Int64
    colour: Int32
    texture: Int32
    pairs: Int64


def pixel_bins(image: Array) -> Image:
    """The histogram bins (H, W, 5 C) of each pixel of `image` (H, W, C) uint8.

    First the C colours' bins, 0..24; then for each channel those of the axes right, down right, down, down left:
    10..18 where the image brightens that way, 8..0 where it brightens the other way, strongest last, else 9.
    """
    height, width, channels = image.shape
    bins = np.empty((height, width, (1 + AXES) * channels), np.uint8)
    bins[..., :channels] = COLOUR_BIN.take(image)
    along_x, along_y = derivatives(image)
    _bin_derivatives(along_x, along_y, bins[..., channels:])
    return bins


def derivatives(image: Array) -> tuple[Float32, Float32]:
    """Gaussian derivatives of `image` along x and y, (H, W, C), grey levels a pixel; borders are repeated."""
    reach = np.arange(-4, 5)
    bell = np.exp(-(reach**2) / (2 * TEXTURE_SIGMA**2))
    bell /= bell.sum()
    slope = reach * bell / (reach**2 * bell).sum()
    return _filter(image, slope, bell), _filter(image, bell, slope)


def _filter(image: Array, along_x: Float64, along_y: Float64) -> Float32:
    filtered = cv2.sepFilter2D(image, cv2.CV_32F, along_x, along_y, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(filtered, np.float32).reshape(image.shape)


def describe_regions(labels: Int32, bins: Image) -> Regions:
    """The superpixels of `labels` (H, W) in 0..R-1, all in use, from the `pixel_bins` of the image."""
    count = int(labels.max()) + 1
    channels = bins.shape[2] // (1 + AXES)
    offsets = np.cumsum([0] + [COLOUR_BINS] * channels + [SIGNED_BINS] * (AXES * channels))
    counts = np.zeros((count, offsets[-1]), np.int32)
    sizes = np.zeros(count, np.int64)
    boxes = np.tile(np.array([*labels.shape[::-1], -1, -1]), (count, 1))
    _accumulate(labels, bins, offsets[:-1], counts, sizes, boxes)
    colour, signed = np.split(counts, [COLOUR_BINS * channels], axis=1)
    keys = np.unique(_touching(labels, count))
    pairs = np.stack(np.divmod(keys, count), axis=1)
    return Regions(sizes, boxes, colour, _rectify(signed.reshape(count, -1, SIGNED_BINS), sizes), pairs)


def group(regions: Regions, similarity: Similarity) -> Int64:
    """Inclusive boxes (2R - 1, 4) of the superpixels and of every region that merging the most similar makes.

    The superpixels come first, in their order, then merged regions as they are made; the last is the image.
    """
    count = len(regions.sizes)
    if count > MAX_SUPERPIXELS:
        raise DataError(f"superpixels of an image must be at most {MAX_SUPERPIXELS}, got {count}")
    total = 2 * count - 1
    sizes = np.empty(total, np.int64)
    boxes = np.empty((total, 4), np.int64)
    counts, weights = _histograms(regions, similarity, total)
    sizes[:count], boxes[:count] = regions.sizes, regions.boxes
    _merge_all(sizes, boxes, counts, weights, regions.pairs, bool(similarity.size), bool(similarity.fill))
    return boxes


def _histograms(regions: Regions, similarity: Similarity, rows: int) -> tuple[Int32, Float64]:
    """The counts (rows, B) in use, the first R rows filled, and the weights (B,) that let each kind sum to one."""
    kinds = []
    if similarity.colour:
        kinds.append((regions.colour, COLOUR_BINS))
    if similarity.texture:
        kinds.append((regions.texture, TEXTURE_BINS))
    parts = [np.full(counts.shape[1], bins / counts.shape[1]) for counts, bins in kinds]
    weights = np.concatenate([np.empty(0), *parts])
    counts = np.empty((rows, len(weights)), np.int32)
    if kinds:
        np.concatenate([part for part, _ in kinds], axis=1, out=counts[: len(regions.sizes)])
    return counts, weights


def _rectify(signed: Int32, sizes: Int64) -> Int32:
    """Histograms (R, 80 C) of the eight orientations from those (R, 4 C, 19) of the axes."""
    texture = np.empty((*signed.shape[:2], 2, TEXTURE_BINS), np.int32)
    texture[:, :, 0, 1:] = signed[:, :, TEXTURE_BINS:]
    texture[:, :, 1, 1:] = signed[:, :, TEXTURE_BINS - 2 :: -1]
    texture[..., 0] = sizes[:, None, None] - texture[..., 1:].sum(axis=-1)
    return texture.reshape(len(sizes), -1)


@numba.njit(cache=True, nogil=True)
def _bin_derivatives(along_x, along_y, bins):  # type: ignore[no-untyped-def]
    height, width, channels = along_x.shape
    last = TEXTURE_BINS - 1
    straight = np.float32(1 / TEXTURE_STEP)
    slanted = np.float32(np.sqrt(0.5) / TEXTURE_STEP)
    for y in range(height):
        for x in range(width):
            for channel in range(channels):
                dx, dy = along_x[y, x, channel], along_y[y, x, channel]
                axes = (dx * straight, (dx + dy) * slanted, dy * straight, (dy - dx) * slanted)
                for axis in range(AXES):
                    step = min(max(int(axes[axis]), -last), last)
                    bins[y, x, AXES * channel + axis] = last + step


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
    keys = np.empty(len(NEIGHBOURS) * height * width, np.int64)
    found = 0
    for y in range(height):
        for x in range(width):
            a = np.int64(labels[y, x])
            for down, right in NEIGHBOURS:
                if y + down < height and 0 <= x + right < width:
                    b = np.int64(labels[y + down, x + right])
                    if a != b:
                        keys[found] = min(a, b) * count + max(a, b)
                        found += 1
    return keys[:found]


@numba.njit(cache=True, nogil=True)
def _merge_all(sizes, boxes, counts, weights, pairs, use_size, use_fill):  # type: ignore[no-untyped-def]
    """Merge the most similar neighbours until one region is left.

    sizes (T,), boxes (T, 4) and counts (T, B) hold the R superpixels first; regions R..T-1 are filled in.
    """
    total = sizes.shape[0]
    count = (total + 1) // 2
    area = sizes[:count].sum()
    profiles = np.empty_like(counts)
    for region in range(count):
        _normalise(counts[region], weights, sizes[region], profiles[region])
    heads, following, partners = _neighbour_lists(pairs, total)
    owners = np.arange(total)
    listed = np.full(total, -1)
    heap, filled = np.empty(2 * pairs.shape[0] + 1, np.int64), 0
    for i in range(pairs.shape[0]):
        key = _rank(pairs[i, 0], pairs[i, 1], profiles, sizes, boxes, area, use_size, use_fill)
        heap, filled = _push(heap, filled, key)
    for region in range(count, total):
        a, b, filled = _pop_live(heap, filled, owners)
        owners[a] = owners[b] = region
        _merge(region, a, b, sizes, boxes, counts)
        _normalise(counts[region], weights, sizes[region], profiles[region])
        _join_lists(region, a, b, owners, listed, heads, following, partners)
        link = heads[region]
        while link >= 0:
            key = _rank(partners[link], region, profiles, sizes, boxes, area, use_size, use_fill)
            heap, filled = _push(heap, filled, key)
            link = following[link]


@numba.njit(cache=True, nogil=True)
def _normalise(counts, weights, size, profile):  # type: ignore[no-untyped-def]
    """Histograms as similarities compare them: those of a kind sum to UNIT."""
    scale = UNIT / size
    for i in range(counts.shape[0]):
        profile[i] = np.int32(counts[i] * (weights[i] * scale) + 0.5)


@numba.njit(cache=True, nogil=True)
def _merge(region, a, b, sizes, boxes, counts):  # type: ignore[no-untyped-def]
    sizes[region] = sizes[a] + sizes[b]
    for side in range(2):
        boxes[region, side] = min(boxes[a, side], boxes[b, side])
        boxes[region, side + 2] = max(boxes[a, side + 2], boxes[b, side + 2])
    first, second, merged = counts[a], counts[b], counts[region]
    for i in range(merged.shape[0]):
        merged[i] = first[i] + second[i]


@numba.njit(cache=True, nogil=True)
def _neighbour_lists(pairs, total):  # type: ignore[no-untyped-def]
    """Linked lists: partners[heads[r]], partners[following[heads[r]]], ... until -1 are neighbours of r."""
    heads = np.full(total, -1)
    following = np.empty(2 * pairs.shape[0], np.int64)
    partners = np.empty(2 * pairs.shape[0], np.int64)
    for i in range(pairs.shape[0]):
        for side in range(2):
            link, region = 2 * i + side, pairs[i, side]
            partners[link] = pairs[i, 1 - side]
            following[link] = heads[region]
            heads[region] = link
    return heads, following, partners


@numba.njit(cache=True, nogil=True)
def _join_lists(region, a, b, owners, listed, heads, following, partners):  # type: ignore[no-untyped-def]
    """Make the list of `region` of the links of `a` and `b`, each living neighbour once.

    A neighbour that was merged is replaced by the root of owners; listed[r] is the last region r was listed for.
    """
    for part in (a, b):
        link = heads[part]
        while link >= 0:
            after = following[link]
            partner = find_root(owners, partners[link])
            if partner != region and listed[partner] != region:
                listed[partner] = region
                partners[link] = partner
                following[link] = heads[region]
                heads[region] = link
            link = after


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _rank(a, b, profiles, sizes, boxes, area, use_size, use_fill):  # type: ignore[no-untyped-def]
    """The heap's key of the pair a < b: least for the most similar, then by `a`, then by `b`."""
    first, second = profiles[a], profiles[b]
    shared = np.int32(0)
    for i in range(first.shape[0]):
        shared += min(first[i], second[i])
    similarity = np.int64(shared)
    both = sizes[a] + sizes[b]
    if use_size:
        similarity += (area - both) * UNIT // area
    if use_fill:
        width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0]) + 1
        height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1]) + 1
        similarity += (area - (width * height - both)) * UNIT // area
    return (-similarity << (2 * REGION_BITS)) | (a << REGION_BITS) | b


@numba.njit(cache=True, nogil=True)
def _pop_live(heap, filled, owners):  # type: ignore[no-untyped-def]
    """Remove keys until one is of two regions not yet merged; return them and the heap's new size."""
    while True:
        key, filled = _pop(heap, filled)
        a, b = (key >> REGION_BITS) & REGION_MASK, key & REGION_MASK
        if owners[a] == a and owners[b] == b:
            return a, b, filled


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
