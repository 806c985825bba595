"""Slow, obvious versions of the arithmetic on boxes."""

import numpy as np

from detector.records import Array


def iou_of_two(a: Array, b: Array) -> float:
    """Overlap of two boxes by the definition."""
    a, b = a.astype(float), b.astype(float)
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(inter / (areas - inter))


def greedy_nms(boxes: Array, scores: Array, iou: float) -> list[int]:
    """Take the best box left (the first of equals), drop what overlaps it too much, and so on."""
    left = list(range(len(boxes)))
    kept = []
    while left:
        best = max(left, key=lambda i: (scores[i], -i))
        kept.append(best)
        left = [i for i in left if i != best and iou_of_two(boxes[best], boxes[i]) <= iou]
    return kept


def random_boxes(random: np.random.Generator, count: int, extent: int = 60) -> Array:
    """Boxes (count, 4) f32 with whole-number corners, so that ties and equal overlaps happen."""
    corner = random.integers(0, extent, (count, 2))
    side = random.integers(1, extent // 2, (count, 2))
    return np.concatenate([corner, corner + side], 1).astype(np.float32)
