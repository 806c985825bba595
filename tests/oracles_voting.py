"""Slow, obvious versions of soft-NMS, box voting and the fusion of systems."""

import math

import numpy as np
from oracles_boxes import iou_of_two

from detector.records import Array


def soft_nms(
    boxes: Array, scores: Array, min_score: float, iou: float | None = None, sigma: float | None = None
) -> tuple[list[int], list[float]]:
    """Take the best box left, lower the scores of what overlaps it, and so on; linear with `iou`."""
    now = {i: float(score) for i, score in enumerate(scores) if score >= min_score}
    kept, lowered = [], []
    while now:
        best = max(now, key=lambda i: (now[i], -i))
        kept.append(best)
        lowered.append(now.pop(best))
        for i in list(now):
            overlap = iou_of_two(boxes[best], boxes[i])
            if sigma is not None:
                now[i] *= math.exp(-(overlap**2) / sigma)
            elif iou is not None and overlap > iou:
                now[i] *= 1 - overlap
            if now[i] < min_score:
                del now[i]
    return kept, lowered


def vote(kept: Array, boxes: Array, scores: Array, iou: float) -> list[Array]:
    """Mean of the boxes near each kept box, weighted by their scores where these are positive."""
    voted = []
    for box in kept:
        near = [i for i in range(len(boxes)) if iou_of_two(box, boxes[i]) >= iou]
        weights = [max(0.0, float(scores[i])) for i in near]
        mean = sum(w * boxes[i].astype(float) for i, w in zip(near, weights, strict=True))
        voted.append(mean / sum(weights) if sum(weights) > 0 else np.asarray(box, float))
    return voted


def fuse_one_class(
    rows: list[tuple[Array, float]], systems: int, total_weight: float, iou: float
) -> list[list[float]]:
    """Weighted boxes fusion of one class's (box, weighted score), best first: boxes and scores in a row each."""
    clusters: list[list[tuple[Array, float]]] = []
    fused: list[Array] = []
    for box, score in rows:
        overlaps = [iou_of_two(box, other) for other in fused]
        near = int(np.argmax(overlaps)) if overlaps else -1
        if near < 0 or overlaps[near] <= iou:
            clusters.append([])
            fused.append(box)
            near = len(clusters) - 1
        clusters[near].append((box, score))
        weight = sum(score for _, score in clusters[near])
        if weight > 0:
            fused[near] = np.sum([score * each for each, score in clusters[near]], axis=0) / weight
    means = [sum(score for _, score in cluster) / len(cluster) for cluster in clusters]
    votes = [min(len(cluster), systems) / total_weight for cluster in clusters]
    return [[*map(float, box), mean * vote] for box, mean, vote in zip(fused, means, votes, strict=True)]
