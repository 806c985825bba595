"""What describes a region in selective search: its size, box and histograms (Uijlings et al., IJCV 2013, 3.2).

The paper leaves open: the orientations of texture are 0, 45, ..., 315 degrees and a derivative below zero counts
as zero, so that opposite orientations share one derivative; its ten bins are 5 grey levels a pixel wide, what is
stronger falls in the last; neighbours are 8-connected.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.errors import DataError
from detector.jit import njit
from detector.proposals.segmentation import MEMORY_BITS, NEIGHBOURS, Int32, is_new, pair_key
from detector.records import Array, Float32, Float64, Image, Int64

COLOUR_BINS = 25  # a channel
TEXTURE_BINS = 10  # a channel and orientation
AXES = 4  # pairs of opposite orientations
SIGNED_BINS = 2 * TEXTURE_BINS - 1  # of an axis: the two orientations share the bin of no response
TEXTURE_STEP = 5.0  # grey levels a pixel in a bin; the edge of a step of 255 has a derivative of 102
TEXTURE_SIGMA = 1.0
MAX_REGIONS = 2**19  # of an image: to compare their histograms takes 2 GB
FAR = 2**62  # beyond every pixel


@dataclass(frozen=True, eq=False)
class Segments:
    """R regions that cover an image.

    sizes (R,) pixels; boxes (R, 4) inclusive pixels x1, y1, x2, y2; counts (R, 101 C) of the `pixel_bins` of C
    channels, each bin's pixels; pairs (P, 2) of 8-connected neighbours, lower first, sorted.
    """

    sizes: Int64
    boxes: Int64
    counts: Int32
    pairs: Int64

    @property
    def colour(self) -> Int32:
        """Histograms (R, 25 C), pixel counts."""
        return self.counts[:, : COLOUR_BINS * self._channels]

    @property
    def texture(self) -> Int32:
        """Histograms (R, 80 C), pixel counts: of each channel, each axis, one orientation and the opposite one."""
        axes = self.counts[:, COLOUR_BINS * self._channels :].reshape(len(self.counts), -1, SIGNED_BINS)
        texture = np.empty((*axes.shape[:2], 2, TEXTURE_BINS), np.int32)
        _rectify(axes, self.sizes, texture)
        return texture.reshape(len(axes), -1)

    @property
    def _channels(self) -> int:
        return self.counts.shape[1] // sum(bin_counts(1))


def bin_counts(channels: int) -> list[int]:
    """How many bins each of the 5 C rows of the `pixel_bins` has."""
    return [COLOUR_BINS] * channels + [SIGNED_BINS] * (AXES * channels)


def pixel_bins(image: Array) -> Image:
    """The histogram bins (H, 5 C, W) of each pixel of `image` (H, W, C) uint8.

    First the C colours' bins, 0..24; then for each channel those of the axes right, down right, down, down left:
    10..18 where the image brightens that way, 8..0 where it brightens the other way, strongest last, else 9.
    """
    height, width, channels = image.shape
    bins = np.empty((height, (1 + AXES) * channels, width), np.uint8)
    for channel in range(channels):
        plane = np.ascontiguousarray(image[..., channel])
        _bin_channel(plane, *derivatives(plane), bins, channel, channels + AXES * channel)
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


def describe_regions(labels: Int32, bins: Image) -> Segments:
    """The regions of `labels` (H, W) in 0..R-1, all in use, from the `pixel_bins` of the image."""
    count = int(labels.max()) + 1
    if count > MAX_REGIONS:
        raise DataError(f"regions of an image must be at most {MAX_REGIONS}, got {count} (k is too small for it)")
    lengths = bin_counts(bins.shape[1] // (1 + AXES))
    sizes, boxes, counts = _nothing(count, sum(lengths))
    _accumulate(labels, bins, (np.cumsum(lengths) - lengths).astype(np.uint32), sizes, boxes, counts)
    return Segments(sizes, boxes, counts, _pairs(_touching(labels)))


def join_regions(regions: Segments, numbers: Int32) -> Segments:
    """The unions of those of `regions` that have the same of `numbers` (R,) in 0..N-1, all in use."""
    sizes, boxes, counts = _nothing(int(numbers.max()) + 1, regions.counts.shape[1])
    _join(numbers, regions.sizes, regions.boxes, regions.counts, sizes, boxes, counts)
    low, high = np.sort(numbers.take(regions.pairs).astype(np.uint64), axis=1).T
    return Segments(sizes, boxes, counts, _pairs((low << np.uint64(32) | high)[low < high]))


def _nothing(count: int, bins: int) -> tuple[Int64, Int64, Int32]:
    """Sizes, boxes and counts of `count` regions that have no pixels yet."""
    boxes = np.tile(np.array([FAR, FAR, -1, -1]), (count, 1))
    return np.zeros(count, np.int64), boxes, np.zeros((count, bins), np.int32)


def _pairs(keys: NDArray[np.uint64]) -> Int64:
    """The pairs (P, 2) with `keys`, sorted, each once."""
    unique = np.unique(keys)
    return np.stack([unique >> np.uint64(32), unique & np.uint64(2**32 - 1)], axis=1).astype(np.int64)


@njit(nogil=True)
def _bin_channel(plane, along_x, along_y, bins, colour, texture):  # type: ignore[no-untyped-def]
    """Fill the rows bins[y, colour] and the four from bins[y, texture] on."""
    height, width = plane.shape
    straight = np.float32(1 / TEXTURE_STEP)
    slanted = np.float32(np.sqrt(0.5) / TEXTURE_STEP)
    for y in range(height):
        for x in range(width):
            bins[y, colour, x] = np.uint16(plane[y, x]) * np.uint16(COLOUR_BINS) >> np.uint16(8)
        for x in range(width):
            bins[y, texture, x] = _axis_bin(along_x[y, x] * straight)
        for x in range(width):
            bins[y, texture + 1, x] = _axis_bin((along_x[y, x] + along_y[y, x]) * slanted)
        for x in range(width):
            bins[y, texture + 2, x] = _axis_bin(along_y[y, x] * straight)
        for x in range(width):
            bins[y, texture + 3, x] = _axis_bin((along_y[y, x] - along_x[y, x]) * slanted)


@njit(nogil=True)
def _axis_bin(response):  # type: ignore[no-untyped-def]
    last = np.int32(TEXTURE_BINS - 1)
    return last + min(max(np.int32(response), -last), last)


@njit(nogil=True)
def _accumulate(labels, bins, offsets, sizes, boxes, counts):  # type: ignore[no-untyped-def]
    height, kinds, width = bins.shape
    for y in range(height):
        for x in range(width):
            label = np.uint32(labels[y, x])
            sizes[label] += 1
            box = boxes[label]
            box[0] = min(box[0], x)
            box[1] = min(box[1], y)
            box[2] = max(box[2], x)
            box[3] = max(box[3], y)
            row = counts[label]
            for kind in range(kinds):
                row[offsets[kind] + bins[y, kind, x]] += 1


@njit(nogil=True)
def _rectify(signed, sizes, texture):  # type: ignore[no-untyped-def]
    """Histograms texture (R, 4 C, 2, 10) of opposite orientations from those signed (R, 4 C, 19) of the axes."""
    for region in range(signed.shape[0]):
        for axis in range(signed.shape[1]):
            ahead, back = texture[region, axis]
            ahead[0] = back[0] = sizes[region]
            for step in range(1, TEXTURE_BINS):
                ahead[step] = signed[region, axis, TEXTURE_BINS - 1 + step]
                back[step] = signed[region, axis, TEXTURE_BINS - 1 - step]
                ahead[0] -= ahead[step]
                back[0] -= back[step]


@njit(nogil=True)
def _touching(labels):  # type: ignore[no-untyped-def]
    """Keys of the pairs of labels of 8-connected pixels that differ; a few repeats remain."""
    height, width = labels.shape
    keys = np.empty(len(NEIGHBOURS) * height * width, np.uint64)
    memory = np.zeros(2**MEMORY_BITS, np.uint64)
    found = 0
    for y in range(height):
        for down, right in NEIGHBOURS:
            for x in range(max(0, -right), width - max(0, right) if y + down < height else 0):
                a, b = labels[y, x], labels[y + down, x + right]
                if a != b:
                    keys[found] = pair_key(a, b)
                    found += is_new(memory, keys[found])
    return keys[:found].copy()


@njit(nogil=True)
def _join(numbers, sizes, boxes, counts, joined_sizes, joined_boxes, joined_counts):  # type: ignore[no-untyped-def]
    for region in range(numbers.shape[0]):
        number = numbers[region]
        joined_sizes[number] += sizes[region]
        for side in range(2):
            joined_boxes[number, side] = min(joined_boxes[number, side], boxes[region, side])
            joined_boxes[number, side + 2] = max(joined_boxes[number, side + 2], boxes[region, side + 2])
        part, total = counts[region], joined_counts[number]
        for i in range(part.shape[0]):
            total[i] += part[i]
