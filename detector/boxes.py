"""Arithmetic on (N, 4) arrays of boxes; the conventions are those of `detector.records`."""

import math

import numpy as np

from detector.errors import DataError
from detector.jit import njit
from detector.records import Array, Float32, Int64

MAX_GROWTH = 1000 / 16  # of a side, by an offset: as if a region of 16 pixels could become one of 1,000


def box_area(boxes: Array) -> Array:
    """Areas (N,) in square pixels; zero for inverted boxes."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def box_iou(a: Array, b: Array) -> Array:
    """Intersection over union (N, M) of boxes `a` (N, 4) and `b` (M, 4); 0 where both have no area."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.maximum(np.minimum(a[:, None, 2:], b[None, :, 2:]) - corner, 0)
    inter = sides[..., 0] * sides[..., 1]  # (N, M)
    union = box_area(a)[:, None] + box_area(b)[None, :] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def clip_boxes(boxes: Array, height: float, width: float) -> Array:
    """`boxes` cut to the image, (N, 4) of the same dtype; a box outside the image becomes empty."""
    limit = np.array([width, height, width, height], boxes.dtype)
    return np.clip(boxes, 0, limit)


def expand_boxes(boxes: Array, factor: float) -> Array:
    """`boxes` scaled by `factor` about their centres, (N, 4) of the same dtype; not clipped."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) * (factor / 2)
    return np.concatenate([centre - half, centre + half], axis=1).astype(boxes.dtype)


def encode_boxes(regions: Array, objects: Array) -> Array:
    """Offsets (N, 4) that move regions (N, 4), whose sides must be positive, onto objects (N, 4).

    They are (tx, ty, tw, th) of R-CNN (arXiv 1311.2524, appendix C): the centre's shift as a share of the region's
    width and height, and the logarithms of the sides' growth.
    """
    centre, sides = _centre_and_sides(regions)
    wanted_centre, wanted_sides = _centre_and_sides(objects)
    return np.concatenate([(wanted_centre - centre) / sides, np.log(wanted_sides / sides)], axis=1)


def decode_boxes(regions: Array, offsets: Array) -> Array:
    """Boxes (N, ..., 4): regions (N, 4) moved by offsets (N, ..., 4), the inverse of `encode_boxes`; not clipped.

    A side grows at most `MAX_GROWTH`-fold, so that no offset overflows.
    """
    regions = regions.reshape(len(regions), *(1,) * (offsets.ndim - 2), 4)
    centre, sides = _centre_and_sides(regions)
    centre = centre + offsets[..., :2] * sides
    half = np.exp(np.minimum(offsets[..., 2:], math.log(MAX_GROWTH))) * sides / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def _centre_and_sides(boxes: Array) -> tuple[Array, Array]:
    """Centres (..., 2) and widths and heights (..., 2) of boxes (..., 4)."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides


def nms(boxes: Float32, scores: Float32, iou: float) -> Int64:
    """Greedy non-maximum suppression: indices (K,) of the kept boxes, best first.

    boxes (N, 4), scores (N,). A box goes when its overlap with a better kept box is greater than `iou`;
    of equal scores the earlier box is the better one.
    """
    order = np.argsort(-scores, kind="stable")
    return order[_keep_greedily(np.ascontiguousarray(boxes[order], dtype=np.float32), iou)]


@njit(nogil=True)
def _keep_greedily(boxes, iou):  # type: ignore[no-untyped-def]
    """Mask (N,) of the boxes that survive when earlier rows suppress later ones."""
    count = boxes.shape[0]
    keep = np.ones(count, np.bool_)
    area = np.empty(count, np.float32)
    for i in range(count):
        area[i] = max(boxes[i, 2] - boxes[i, 0], 0) * max(boxes[i, 3] - boxes[i, 1], 0)
    for i in range(count):
        if not keep[i]:
            continue
        for j in range(i + 1, count):
            if not keep[j]:
                continue
            width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
            height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
            if width > 0 and height > 0:
                inter = np.float64(width * height)
                if inter / (area[i] + area[j] - inter) > iou:
                    keep[j] = False
    return keep


def soft_nms_linear(boxes: Float32, scores: Float32, iou: float, min_score: float) -> tuple[Int64, Float32]:
    """Soft-NMS (Bodla et al., arXiv 1704.04503): indices (K,) of the kept boxes and their new scores, best first.

    A score is multiplied by 1 - overlap for each better kept box whose overlap is greater than `iou`. Boxes whose
    score is, or falls, below `min_score` go; it is above 0, for a negative score would rise. Ties as in `nms`.
    """
    return _keep_softly(boxes, scores, 0.0, iou, min_score)


def soft_nms_gaussian(boxes: Float32, scores: Float32, sigma: float, min_score: float) -> tuple[Int64, Float32]:
    """As `soft_nms_linear`, but a score is multiplied by exp(-overlap^2 / sigma) for each better kept box."""
    return _keep_softly(boxes, scores, sigma, 0.0, min_score)


def _keep_softly(
    boxes: Float32, scores: Float32, sigma: float, iou: float, min_score: float
) -> tuple[Int64, Float32]:
    if min_score <= 0:
        raise DataError(f"min_score of soft-NMS must be above 0, got {min_score}")
    candidates = np.flatnonzero(scores >= min_score)
    kept, lowered = _lower_and_keep(
        boxes[candidates].astype(np.float64), scores[candidates].astype(np.float64), sigma, iou, min_score
    )
    return candidates[kept], lowered.astype(np.float32)


@njit(nogil=True)
def _lower_and_keep(boxes, scores, sigma, iou, min_score):  # type: ignore[no-untyped-def]
    """Soft-NMS of boxes whose scores are at least `min_score`; linear where `sigma` is 0. `scores` change."""
    left = np.arange(len(boxes))  # the boxes not decided yet, in their order, in left[:count]
    kept = np.empty(len(boxes), np.int64)
    kept_scores = np.empty(len(boxes), np.float64)
    count = len(boxes)
    best = np.argmax(scores) if count else 0  # a position in left
    rank = 0
    while count:
        winner = left[best]
        kept[rank], kept_scores[rank] = winner, scores[winner]
        rank += 1
        stay, next_best, next_score = 0, 0, -1.0
        for position in range(count):
            i = left[position]
            if position == best:
                continue
            overlap = _overlap(boxes, winner, boxes, i)
            if overlap > iou:
                scores[i] *= np.exp(-overlap * overlap / sigma) if sigma > 0 else 1 - overlap
                if scores[i] < min_score:
                    continue
            if scores[i] > next_score:
                next_best, next_score = stay, scores[i]
            left[stay] = i
            stay += 1
        count, best = stay, next_best
    return kept[:rank], kept_scores[:rank]


def vote_boxes(kept: Float32, boxes: Float32, scores: Float32, iou: float = 0.5) -> Float32:
    """Box voting (Gidaris and Komodakis, arXiv 1505.01749): each `kept` box as its neighbours' mean, (K, 4).

    The neighbours are those of its class's boxes (N, 4) whose overlap with it is at least `iou`, itself among
    them. They weigh max(0, score), scores (N,); where none has a positive score the box stays as it is.
    """
    voters = np.flatnonzero(scores > 0)
    return _average_neighbours(
        kept.astype(np.float32), boxes[voters].astype(np.float32), scores[voters].astype(np.float32), iou
    )


@njit(nogil=True)
def _average_neighbours(kept, boxes, weights, iou):  # type: ignore[no-untyped-def]
    voted = kept.copy()
    total = np.zeros(4)
    for k in range(len(kept)):
        total[:], weight = 0, 0.0
        for i in range(len(boxes)):
            if _overlap(kept, k, boxes, i) >= iou:
                for side in range(4):
                    total[side] += np.float64(weights[i]) * boxes[i, side]
                weight += weights[i]
        if weight > 0:
            voted[k] = total / weight
    return voted


@njit(nogil=True)
def _overlap(a, i, b, j):  # type: ignore[no-untyped-def]
    """IoU of box i of `a` and box j of `b`; 0 where they share no area."""
    width = min(a[i, 2], b[j, 2]) - max(a[i, 0], b[j, 0])
    if width <= 0:
        return 0.0
    height = min(a[i, 3], b[j, 3]) - max(a[i, 1], b[j, 1])
    if height <= 0:
        return 0.0
    inter = np.float64(width) * height
    area = np.float64(a[i, 2] - a[i, 0]) * (a[i, 3] - a[i, 1])
    other = np.float64(b[j, 2] - b[j, 0]) * (b[j, 3] - b[j, 1])
    return inter / (area + other - inter)
