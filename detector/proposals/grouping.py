"""Hierarchical grouping of superpixels by similarity (Uijlings et al., IJCV 2013, sections 3.1 and 3.2).

Similarities are integers in units of 2 ** -16. Of equally similar pairs the one whose lower region is lowest is
merged first, then the one whose higher region is; a merged region is numbered after all regions before it.
"""

from typing import NamedTuple

import numpy as np

from detector.jit import njit
from detector.proposals.segmentation import Int32, find_root
from detector.proposals.segments import COLOUR_BINS, MAX_REGIONS, TEXTURE_BINS, Segments
from detector.records import Float64, Int64

UNIT = 2**16  # a similarity of 1
REGION_BITS = (2 * MAX_REGIONS - 1).bit_length()  # of a heap's key: similarity, lower region, higher region
REGION_MASK = 2**REGION_BITS - 1


class Similarity(NamedTuple):
    """Which terms the similarity of two regions is the sum of (equation 6 of the paper)."""

    colour: bool = False
    texture: bool = False
    size: bool = False
    fill: bool = False


class MergeTree(NamedTuple):
    """Inclusive boxes (2R - 1, 4) of R superpixels and of every region that merging the most similar makes.

    The superpixels come first, in their order, then merged regions as they are made; the last is the image.
    parts (R - 1, 2) are the two regions, lower first, that each merged one is made of.
    """

    boxes: Int64
    parts: Int64


def group(regions: Segments, similarity: Similarity) -> Int64:
    """The boxes (2R - 1, 4) of the hierarchy of an image's superpixels."""
    return grow(regions, similarity).boxes


def grow(regions: Segments, similarity: Similarity) -> MergeTree:
    """The hierarchy of an image's superpixels."""
    count = len(regions.sizes)
    total = 2 * count - 1
    sizes = np.empty(total, np.int64)
    boxes = np.empty((total, 4), np.int64)
    sizes[:count], boxes[:count] = regions.sizes, regions.boxes
    counts, weights = _histograms(regions, similarity)
    parts = np.empty((count - 1, 2), np.int64)
    use_size, use_fill = bool(similarity.size), bool(similarity.fill)
    _merge_all(sizes, boxes, parts, counts, weights, regions.pairs, use_size, use_fill)
    return MergeTree(boxes, parts)


def _histograms(regions: Segments, similarity: Similarity) -> tuple[Int32, Float64]:
    """The counts (R, B) that `similarity` compares, and the weights (B,) that let each kind sum to one."""
    kinds = []
    if similarity.colour:
        kinds.append((regions.colour, COLOUR_BINS))
    if similarity.texture:
        kinds.append((regions.texture, TEXTURE_BINS))
    counts = np.concatenate([np.empty((len(regions.sizes), 0), np.int32), *(part for part, _ in kinds)], axis=1)
    weights = [np.full(part.shape[1], bins / part.shape[1]) for part, bins in kinds]
    return counts, np.concatenate([np.empty(0), *weights])


@njit(nogil=True)
def _merge_all(sizes, boxes, parts, counts, weights, pairs, use_size, use_fill):  # type: ignore[no-untyped-def]
    """Merge the most similar neighbours until one region is left.

    sizes (T,) and boxes (T, 4) hold the R superpixels first; regions R..T-1 and parts (T - R, 2) are filled in.
    counts (R, B) are spent: a merged region takes the row of one of its two.
    """
    total = sizes.shape[0]
    count = (total + 1) // 2
    area = sizes[:count].sum()
    rows = np.arange(total)
    profiles = np.empty_like(counts)
    for region in range(count):
        _normalise(counts[region], weights, sizes[region], profiles[region])
    heads, following, partners = _neighbour_lists(pairs, total)
    owners = np.arange(total)
    listed = np.full(total, -1)
    filled = pairs.shape[0]
    heap = np.empty(2 * filled + 1, np.int64)
    for i in range(filled):
        a, b = pairs[i]
        heap[i] = _rank(a, b, profiles[a], profiles[b], sizes, boxes, area, use_size, use_fill)
    heap[:filled].sort()
    for region in range(count, total):
        a, b, filled = _pop_live(heap, filled, owners)
        parts[region - count, 0], parts[region - count, 1] = a, b
        owners[a] = owners[b] = region
        row = rows[region] = rows[a]
        _merge(region, a, b, sizes, boxes)
        _add(counts[rows[b]], counts[row])
        _normalise(counts[row], weights, sizes[region], profiles[row])
        _join_lists(region, a, b, owners, listed, heads, following, partners)
        link = heads[region]
        while link >= 0:
            other = partners[link]
            both = profiles[rows[other]], profiles[row]
            key = _rank(other, region, *both, sizes, boxes, area, use_size, use_fill)
            filled = _push(heap, filled, key, owners)
            link = following[link]


@njit(nogil=True)
def _normalise(counts, weights, size, profile):  # type: ignore[no-untyped-def]
    """Histograms as similarities compare them: those of a kind sum to UNIT."""
    scale = UNIT / size
    for i in range(counts.shape[0]):
        profile[i] = np.int32(counts[i] * (weights[i] * scale) + 0.5)


@njit(nogil=True)
def _merge(region, a, b, sizes, boxes):  # type: ignore[no-untyped-def]
    sizes[region] = sizes[a] + sizes[b]
    for side in range(2):
        boxes[region, side] = min(boxes[a, side], boxes[b, side])
        boxes[region, side + 2] = max(boxes[a, side + 2], boxes[b, side + 2])


@njit(nogil=True)
def _add(counts, total):  # type: ignore[no-untyped-def]
    for i in range(counts.shape[0]):
        total[i] += counts[i]


@njit(nogil=True)
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


@njit(nogil=True)
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


@njit(nogil=True, error_model="numpy")
def _rank(a, b, first, second, sizes, boxes, area, use_size, use_fill):  # type: ignore[no-untyped-def]
    """The heap's key of the pair a < b and their profiles: least for the most similar, then by a, then by b."""
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


@njit(nogil=True)
def _pop_live(heap, filled, owners):  # type: ignore[no-untyped-def]
    """Remove keys until one is of two regions not yet merged; return them and the heap's new size."""
    while True:
        key, filled = _pop(heap, filled)
        if _is_live(key, owners):
            return (key >> REGION_BITS) & REGION_MASK, key & REGION_MASK, filled


@njit(nogil=True)
def _push(heap, filled, key, owners):  # type: ignore[no-untyped-def]
    """Add `key` to the binary heap heap[:filled] and return its new size; make room first if it is full."""
    if filled == heap.shape[0]:
        filled = _drop_merged(heap, owners)
    place = filled
    while place > 0 and heap[(place - 1) // 2] > key:
        heap[place] = heap[(place - 1) // 2]
        place = (place - 1) // 2
    heap[place] = key
    return filled + 1


@njit(nogil=True)
def _drop_merged(heap, owners):  # type: ignore[no-untyped-def]
    """Keep the keys of two regions not yet merged, in order, which is a heap too; return their number."""
    filled = 0
    for key in heap:
        if _is_live(key, owners):
            heap[filled] = key
            filled += 1
    heap[:filled].sort()
    return filled


@njit(nogil=True)
def _is_live(key, owners):  # type: ignore[no-untyped-def]
    a, b = (key >> REGION_BITS) & REGION_MASK, key & REGION_MASK
    return owners[a] == a and owners[b] == b


@njit(nogil=True)
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
