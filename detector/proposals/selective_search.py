"""Selective search: class-agnostic regions of an image (Uijlings et al., IJCV 2013, sections 3.2 to 4.4).

The strategies are those of the paper and of Girshick et al. (arXiv 1311.2524v5): `fast` has 8, `quality` 80.

Differs from the paper: every channel of every colour space is stored in 0..255; see also `segmentation` and
`grouping`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from detector.boxes import clip_boxes
from detector.config import ProposalSettings
from detector.errors import DataError
from detector.proposals.grouping import Similarity, group
from detector.proposals.segmentation import Int32, Scale, pixel_graph, segment
from detector.proposals.segments import Segments, describe_regions, join_regions, pixel_bins
from detector.records import Array, Float32, Image, Int64, Proposals

MAX_ASPECT = 4  # of a resized image, height to width: taller ones become this high, not as wide as asked


class Strategies(NamedTuple):
    """Every colour space with every scale and every similarity."""

    colours: tuple[str, ...]
    scales: tuple[Scale, ...]
    similarities: tuple[Similarity, ...]


ALL = Similarity(colour=True, texture=True, size=True, fill=True)
NO_COLOUR = Similarity(texture=True, size=True, fill=True)

STRATEGIES = {
    "fast": Strategies(("hsv", "lab"), (Scale(50, 50), Scale(100, 100)), (ALL, NO_COLOUR)),
    "quality": Strategies(
        ("hsv", "lab", "rgi", "hue", "intensity"),
        (Scale(50, 50), Scale(100, 100), Scale(150, 150), Scale(300, 300)),
        (ALL, NO_COLOUR, Similarity(fill=True), Similarity(size=True)),
    ),
}


def selective_search(image: Image, settings: ProposalSettings, seed: int) -> Proposals:
    """The proposals of `image` (H, W, 3) uint8 RGB: at least one, no box twice, the same for the same `seed`.

    They are ordered by their position in the hierarchy, 1 for the whole image, times a random number, over all
    strategies; scores fall from 1 by 1 / N with the rank. Where every box is too small there is one of the image.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DataError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    resized = resize_to_width(image, settings.width)
    boxes = search(resized, strategies_of(settings), settings.sigma, np.random.default_rng(seed))
    boxes = _large_enough(boxes, settings.min_side)
    if not len(boxes):
        boxes = np.array([[0, 0, resized.shape[1] - 1, resized.shape[0] - 1]])
    if settings.max_boxes:
        boxes = boxes[: settings.max_boxes]
    scores = 1 - np.arange(len(boxes)) / len(boxes)
    return Proposals(_in_original(boxes, resized.shape, image.shape), scores.astype(np.float32))


def strategies_of(settings: ProposalSettings) -> Strategies:
    """The strategies of the mode, with `ks` if there are any; k is the minimum size too, and both are scaled."""
    strategies = STRATEGIES[settings.mode]
    ks = settings.ks or [scale.k for scale in strategies.scales]
    scaled = [k * settings.superpixel_scale for k in ks]
    return strategies._replace(scales=tuple(Scale(k, round(k)) for k in scaled))


def search(image: Image, strategies: Strategies, sigma: float, random: np.random.Generator) -> Int64:
    """Inclusive boxes (N, 4) of all regions of `image`, as it is, in order of their rank, no box twice."""
    return _distinct(_in_random_order(list(_hierarchies(image, strategies, sigma)), random))


def resize_to_width(image: Image, width: int) -> Image:
    """`image` at `width` pixels, aspect kept; as it is for 0. Heights are at most 4 times `width`, at least 1."""
    if width == 0:
        return image
    scale = min(width / image.shape[1], MAX_ASPECT * width / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    if size == image.shape[1::-1]:
        return image
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)


def convert_colour(image: Image, colour: str) -> Image:
    """`image` (H, W, 3) RGB in one of the paper's colour spaces, (H, W, 3) or (H, W, 1) uint8."""
    match colour:
        case "hsv":
            converted: Array = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        case "lab":
            converted = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        case "rgi":
            red, green, blue = image.transpose(2, 0, 1).astype(np.float32)
            total = np.maximum(red + green + blue, 1)
            converted = np.rint(np.stack([red * (255 / total), green * (255 / total), total / 3], axis=2))
        case "hue":
            converted = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)[..., :1]
        case "intensity":
            red, green, blue = image.transpose(2, 0, 1).astype(np.float32)
            converted = np.rint((red + green + blue) / 3)[..., None]
    return np.ascontiguousarray(converted, dtype=np.uint8)


class Superpixels(NamedTuple):
    """The superpixels of an image in one colour space, at one scale.

    They are unions of the pieces whose labels (H, W) are `pieces`: numbers (P,) is the superpixel of each piece.
    """

    colour: str
    scale: Scale
    pieces: Int32
    numbers: Int32
    regions: Segments

    @property
    def labels(self) -> Int32:
        """The superpixel (H, W) in 0..R-1 of each pixel."""
        return self.numbers.take(self.pieces)


def superpixels_of(image: Image, strategies: Strategies, sigma: float) -> Iterator[Superpixels]:
    """Those of every colour space at every scale; what they share is worked out once."""
    for colour in strategies.colours:
        pixels = convert_colour(image, colour)
        pieces, superpixels = segment(pixel_graph(pixels, sigma), strategies.scales)
        regions = describe_regions(pieces, pixel_bins(pixels))
        for scale, numbers in zip(strategies.scales, superpixels, strict=True):
            yield Superpixels(colour, scale, pieces, numbers, join_regions(regions, numbers))


def _hierarchies(image: Image, strategies: Strategies, sigma: float) -> Iterator[Int64]:
    """The inclusive boxes of each strategy's hierarchy."""
    for superpixels in superpixels_of(image, strategies, sigma):
        for similarity in strategies.similarities:
            yield group(superpixels.regions, similarity)


def _in_random_order(hierarchies: list[Int64], random: np.random.Generator) -> Int64:
    """The boxes of all hierarchies, (N, 4), by their position from the top times a number in [0, 1)."""
    positions = np.concatenate([np.arange(len(boxes), 0, -1) for boxes in hierarchies])
    order = np.argsort(positions * random.random(len(positions)), kind="stable")
    return np.concatenate(hierarchies)[order]


def _large_enough(boxes: Int64, min_side: float) -> Int64:
    sides = boxes[:, 2:] + 1 - boxes[:, :2]
    return boxes[np.min(sides, axis=1) >= min_side]


def _distinct(boxes: Int64) -> Int64:
    """The first of each box, in order."""
    keys = np.ravel_multi_index(tuple(boxes.T), np.tile(boxes.max(axis=0)[2:] + 1, 2))
    _, first = np.unique(keys, return_index=True)
    return boxes[np.sort(first)]


def _in_original(boxes: Int64, resized: tuple[int, ...], original: tuple[int, ...]) -> Float32:
    """Inclusive `boxes` of an image of shape `resized` as continuous ones of the image of shape `original`."""
    factor = np.tile([original[1] / resized[1], original[0] / resized[0]], 2)
    mapped = ((boxes + np.array([0, 0, 1, 1])) * factor).astype(np.float32)
    return clip_boxes(mapped, *original[:2])
