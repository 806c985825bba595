"""Arithmetic on (N, 4) arrays of boxes; the conventions are those of `detector.records`."""

import numba
import numpy as np

from detector.records import Array, Float32, Int64


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


def nms(boxes: Float32, scores: Float32, iou: float) -> Int64:
    """Greedy non-maximum suppression: indices (K,) of the kept boxes, best first.

    boxes (N, 4), scores (N,). A box goes when its overlap with a better kept box is greater than `iou`;
    of equal scores the earlier box is the better one.
    """
    order = np.argsort(-scores, kind="stable")
    return order[_keep_greedily(np.ascontiguousarray(boxes[order], dtype=np.float32), iou)]


@numba.njit(cache=True, nogil=True)
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
