"""Joining the proposals of several sources, such as selective search and a network, into one list."""

from collections.abc import Sequence

import numpy as np

from detector.boxes import box_area
from detector.errors import ConfigError
from detector.jit import njit
from detector.records import Bool, Float32, Float64, Proposals


def join_proposals(parts: Sequence[Proposals], budgets: Sequence[int], duplicate_iou: float) -> Proposals:
    """The best `budgets[i]` boxes of each part (0: all) in one list, every prefix of which is a fair mix.

    The box of rank j (from 0) of the n that a part gives has the place (j + 1/2) / n, and the list is in order
    of the places, the earlier part first on equality: of any prefix, each of two parts has the share that it
    has of the whole, to within one box. Then a box goes whose IoU with one kept before it, of whichever part,
    is at least `duplicate_iou` in (0, 1]; at 1 only equal boxes go. The others keep their order, and their
    scores fall from 1 by 1 / N with the rank.
    """
    if not parts or len(parts) != len(budgets) or min(budgets) < 0:
        wanted = f"a number from 0 for each of {len(parts)} parts, at least one"
        raise ConfigError(f"budgets must be {wanted}, got {list(budgets)}")
    if not 0 < duplicate_iou <= 1:
        raise ConfigError(f"duplicate_iou must be over 0 and at most 1, got {duplicate_iou}")
    counts = [len(part.boxes[: budget or None]) for part, budget in zip(parts, budgets, strict=True)]
    boxes = np.concatenate([part.boxes[:count] for part, count in zip(parts, counts, strict=True)])
    boxes = boxes[np.argsort(np.concatenate([_places(count) for count in counts]), kind="stable")]
    boxes = boxes[_distinct(boxes, duplicate_iou)]
    return Proposals(boxes, _falling(len(boxes)))


def _places(count: int) -> Float64:
    """Where the boxes of a part stand between 0 and 1: evenly, half a step from either end."""
    return (np.arange(count) + 0.5) / count


def _falling(count: int) -> Float32:
    """Scores (count,) from 1 down by 1 / count."""
    return (1 - np.arange(count) / count).astype(np.float32)


def _distinct(boxes: Float32, limit: float) -> Bool:
    """Mask (N,) of the boxes whose IoU with every box kept before them is under `limit`."""
    exact = boxes.astype(np.float64)  # so that only equal boxes have an IoU of 1
    area = box_area(exact)
    by_area = np.argsort(area, kind="stable")
    # IoU is at most the smaller area by the larger: only boxes near in area need a look
    slack = limit * (1 - 1e-9)
    first = np.searchsorted(area[by_area], area * slack, side="left")
    last = np.searchsorted(area[by_area], area / slack, side="right")
    return _keep_distinct(exact, area, by_area, first, last, limit)


@njit(nogil=True)
def _keep_distinct(boxes, area, by_area, first, last, limit):  # type: ignore[no-untyped-def]
    """Mask (N,); the boxes near in area to box i are by_area[first[i]:last[i]]."""
    keep = np.ones(len(boxes), np.bool_)
    for i in range(len(boxes)):
        if not keep[i]:
            continue
        for place in range(first[i], last[i]):
            j = by_area[place]
            if j <= i or not keep[j]:
                continue
            width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
            height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
            if width > 0 and height > 0:
                inter = width * height
                keep[j] = inter / (area[i] + area[j] - inter) < limit
    return keep
