"""Slow, obvious versions of the proposals' segmentation, grouping and joining."""

from fractions import Fraction

import numpy as np
from oracles_boxes import iou_of_two

from detector.proposals.grouping import Similarity
from detector.proposals.segments import derivatives
from detector.records import Array


def sorted_edges(planes: Array, grades: int = 3000) -> list[tuple[int, int, int]]:
    """(grade, pixel, pixel) of all 8-connected neighbours in planes (C, H, W), lightest first, ties in order.

    A grade is the square root of a weight times `grades`.
    """
    _, height, width = planes.shape
    edges = []
    for y in range(height):
        for x in range(width):
            for direction, (down, right) in enumerate([(0, 1), (1, -1), (1, 0), (1, 1)]):
                if y + down < height and 0 <= x + right < width:
                    difference = planes[:, y, x] - planes[:, y + down, x + right]
                    root = np.sqrt(np.sqrt((difference * difference).sum(dtype=np.float32)))
                    grade = int(root * np.float32(grades) + np.float32(0.5))
                    pixel = y * width + x
                    edges.append((grade, pixel, direction, pixel + down * width + right))
    return [(grade, pixel, other) for grade, pixel, _, other in sorted(edges)]


def segment_slowly(planes: Array, k: int, min_size: int, grades: int = 3000) -> Array:
    """Superpixels of planes (C, H, W), by sets of pixels and exact fractions of squared grades."""
    _, height, width = planes.shape
    members = {pixel: {pixel} for pixel in range(height * width)}
    component = dict.fromkeys(members, -1) | {pixel: pixel for pixel in members}
    heaviest = dict.fromkeys(members, 0)
    edges = sorted_edges(planes, grades)

    def unite(a: int, b: int) -> None:
        members[a] |= members.pop(b)
        component.update(dict.fromkeys(members[a], a))

    for grade, pixel, other in edges:
        a, b = component[pixel], component[other]
        limits = (heaviest[c] ** 2 + Fraction(grades**2 * k, len(members[c])) for c in (a, b))
        if a != b and all(grade**2 <= limit for limit in limits):
            unite(a, b)
            heaviest[a] = grade
    for _, pixel, other in edges:
        a, b = component[pixel], component[other]
        if a != b and min(len(members[a]), len(members[b])) < min_size:
            unite(a, b)
    numbers: dict[int, int] = {}
    labels = [numbers.setdefault(component[pixel], len(numbers)) for pixel in range(height * width)]
    return np.array(labels).reshape(height, width)


def colour_histogram(image: Array, mask: Array) -> Array:
    """Counts (25 C,) of the colours of the pixels in `mask`."""
    return np.concatenate([np.bincount(plane[mask] * 25 // 256, minlength=25) for plane in _planes(image)])


def texture_histogram(image: Array, mask: Array) -> Array:
    """Counts (80 C,) of the derivatives in the pixels of `mask`: opposite orientations side by side."""
    histograms = []
    for dx, dy in zip(*map(_planes, derivatives(image)), strict=True):
        straight, slanted = np.float32(1 / 5), np.float32(np.sqrt(0.5) / 5)
        for axis in (dx * straight, (dx + dy) * slanted, dy * straight, (dy - dx) * slanted):
            for response in (axis, -axis):
                bins = np.clip(np.floor(response[mask]), 0, 9).astype(int)
                histograms.append(np.bincount(bins, minlength=10))
    return np.concatenate(histograms)


def _planes(image: Array) -> Array:
    wide = image.astype(int) if image.dtype == np.uint8 else image
    return wide.transpose(2, 0, 1)


def box_of(mask: Array) -> tuple[int, int, int, int]:
    """The inclusive box x1, y1, x2, y2 of the pixels in `mask`."""
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def touch(a: Array, b: Array) -> bool:
    """Whether any pixels of the masks are 8-connected neighbours."""
    height, width = a.shape
    padded = np.pad(a, 1)
    shifts = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return bool((np.any(shifts, axis=0) & b).any())


def similarity_of(image: Array, a: Array, b: Array, terms: Similarity) -> int:
    """The similarity of the regions with masks `a` and `b` in units of 2 ** -16, from the pixels."""
    unit, total = 2**16, 0
    for wanted, histogram, count in (
        (terms.colour, colour_histogram, image.shape[2]),
        (terms.texture, texture_histogram, 8 * image.shape[2]),
    ):
        if wanted:
            shares = [np.floor(histogram(image, m) * (1 / count * (unit / m.sum())) + 0.5) for m in (a, b)]
            total += int(np.minimum(*shares).sum())
    area, both = a.size, int(a.sum() + b.sum())
    if terms.size:
        total += (area - both) * unit // area
    if terms.fill:
        x1, y1, x2, y2 = box_of(a | b)
        total += (area - ((x2 + 1 - x1) * (y2 + 1 - y1) - both)) * unit // area
    return total


def group_slowly(image: Array, labels: Array, terms: Similarity) -> list[tuple[int, int, int, int]]:
    """The boxes of all regions in the order they are made, every similarity worked out at every step."""
    masks = [labels == label for label in range(labels.max() + 1)]
    alive = list(range(len(masks)))
    while len(alive) > 1:
        pairs = [(a, b) for a in alive for b in alive if a < b and touch(masks[a], masks[b])]
        a, b = min(pairs, key=lambda p: (-similarity_of(image, masks[p[0]], masks[p[1]], terms), p))
        alive = [r for r in alive if r not in (a, b)] + [len(masks)]
        masks.append(masks[a] | masks[b])
    return [box_of(mask) for mask in masks]


def join_slowly(parts: list[Array], budgets: list[int], limit: float) -> list[list[float]]:
    """The boxes of several parts (n, 4), best first, mixed by exact fractions, each unlike those before it."""
    entries = []
    for number, (boxes, budget) in enumerate(zip(parts, budgets, strict=True)):
        best = boxes[:budget] if budget else boxes
        for rank, box in enumerate(best):
            entries.append((Fraction(2 * rank + 1, 2 * len(best)), number, rank, box))
    kept: list[Array] = []
    for *_, box in sorted(entries, key=lambda entry: entry[:3]):
        if all(iou_of_two(box, other) < limit for other in kept):
            kept.append(box)
    return [box.tolist() for box in kept]
