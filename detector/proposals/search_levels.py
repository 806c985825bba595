"""Selective search of one image as it goes: the superpixels of each scale, and which regions merge when."""

from dataclasses import dataclass

import cv2
import numpy as np

from detector.config import ProposalSettings
from detector.proposals.grouping import Similarity, grow
from detector.proposals.segmentation import Int32
from detector.proposals.selective_search import Superpixels, resize_to_width, strategies_of, superpixels_of
from detector.records import Image, Int64

LONGEST_SIDE = 500  # pixels of the labels that are kept


@dataclass(frozen=True, eq=False)
class SearchLevels:
    """The superpixels of an image in one colour space at scale `k`, and the hierarchies that grow of them.

    labels (h, w) i32 in 0..R-1 are of the image made smaller. Of each measure of similarity, by its name, parts
    (R - 1, 2) i64 are the regions that merge, in their order: step i makes region R + i of two before it.
    """

    colour: str
    k: float
    labels: Int32
    parts: dict[str, Int64]


def search_levels(image: Image, settings: ProposalSettings) -> list[SearchLevels]:
    """All of them, for `image` (H, W, 3) uint8 RGB, as `selective_search` goes through them."""
    strategies = strategies_of(settings)
    resized = resize_to_width(image, settings.width)
    found = superpixels_of(resized, strategies, settings.sigma)
    return [_levels(each, strategies.similarities) for each in found]


def similarity_name(similarity: Similarity) -> str:
    """The terms that it is the sum of."""
    return " + ".join(name for name, used in similarity._asdict().items() if used)


def _levels(superpixels: Superpixels, similarities: tuple[Similarity, ...]) -> SearchLevels:
    parts = {similarity_name(each): grow(superpixels.regions, each).parts for each in similarities}
    return SearchLevels(superpixels.colour, superpixels.scale.k, _smaller(superpixels.labels), parts)


def _smaller(labels: Int32) -> Int32:
    """The labels with no side over `LONGEST_SIDE`, of the nearest pixels."""
    height, width = labels.shape
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.int32)
