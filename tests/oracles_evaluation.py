"""The evaluation rules of ILSVRC and VOC as plain loops over lists, one statement a sentence of the rule."""

import math
from collections.abc import Sequence

from detector.records import DetectionTable, ObjectTable

Box = Sequence[float]


def overlap(a: Box, b: Box) -> float:
    """IoU of boxes whose corners are continuous; 0 where they share nothing."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def own_threshold(box: Box) -> float:
    """The overlap that ILSVRC asks for with this object."""
    width, height = box[2] - box[0], box[3] - box[1]
    return min(0.5, width * height / ((width + 10) * (height + 10)))


def ilsvrc(
    objects: ObjectTable, detections: DetectionTable, num_images: int, blacklist: set[tuple[int, int]]
) -> tuple[list[float], list[int]]:
    """AP of classes 1..highest label with an object, and how many detections each has."""
    highest = max(objects.labels.tolist(), default=0)
    rows: list[tuple[float, int, str]] = []  # score, label, outcome
    for image in range(num_images):
        mine = [g for g in range(len(objects.labels)) if objects.image[g] == image]
        used: set[int] = set()
        found = [m for m in range(len(detections.labels)) if detections.image[m] == image]
        for m in sorted(found, key=lambda m: -detections.scores[m]):
            label = int(detections.labels[m])
            if (image, label) in blacklist:
                rows.append((detections.scores[m], label, "ignored"))
                continue
            best, best_overlap = None, 0.0
            for g in mine:
                if objects.labels[g] != label or g in used:
                    continue
                value = overlap(detections.boxes[m], objects.boxes[g])
                if value > 0 and value >= own_threshold(objects.boxes[g]) and value > best_overlap:
                    best, best_overlap = g, value
            if best is not None:
                used.add(best)
            rows.append((detections.scores[m], label, "miss" if best is None else "hit"))
    rows.sort(key=lambda row: -row[0])
    ap, counts = [], []
    for label in range(1, highest + 1):
        outcomes = [outcome for _, other, outcome in rows if other == label]
        positives = sum(
            1
            for g in range(len(objects.labels))
            if objects.labels[g] == label and (int(objects.image[g]), label) not in blacklist
        )
        ap.append(area(outcomes, positives))
        counts.append(len(outcomes))
    return ap, counts


def voc(objects: ObjectTable, detections: DetectionTable, num_classes: int, eleven_points: bool) -> list[float]:
    """AP of classes 1..num_classes, NaN where a class has no object that is not difficult."""
    ap = []
    for label in range(1, num_classes + 1):
        mine = [g for g in range(len(objects.labels)) if objects.labels[g] == label]
        positives = sum(not objects.difficult[g] for g in mine)
        used: set[int] = set()
        outcomes = []
        found = [m for m in range(len(detections.labels)) if detections.labels[m] == label]
        for m in sorted(found, key=lambda m: -detections.scores[m]):
            best, best_overlap = -1, 0.0
            for g in mine:
                value = overlap(detections.boxes[m], objects.boxes[g])
                if objects.image[g] == detections.image[m] and value > best_overlap:
                    best, best_overlap = g, value
            if best_overlap < 0.5:
                outcomes.append("miss")
            elif objects.difficult[best]:
                outcomes.append("ignored")
            elif best in used:
                outcomes.append("miss")
            else:
                used.add(best)
                outcomes.append("hit")
        if positives == 0:
            ap.append(math.nan)
        else:
            ap.append((eleven if eleven_points else area)(outcomes, positives))
    return ap


def points(outcomes: list[str], positives: int) -> list[tuple[float, float]]:
    """Recall and precision after each detection; those before the first hit or miss are left out."""
    hits = misses = 0
    curve = []
    for outcome in outcomes:
        hits += outcome == "hit"
        misses += outcome == "miss"
        if hits + misses:
            curve.append((hits / positives, hits / (hits + misses)))
    return curve


def area(outcomes: list[str], positives: int) -> float:
    """The sum over recall's steps of the best precision at that recall or more."""
    if positives == 0:
        return math.nan if outcomes else 0.0
    curve = points(outcomes, positives)
    total = 0.0
    for count in range(1, positives + 1):
        recall = count / positives
        total += max((p for r, p in curve if r >= recall), default=0.0) / positives
    return total


def eleven(outcomes: list[str], positives: int) -> float:
    """The mean over recalls 0, 0.1, ..., 1 of the best precision at that recall or more."""
    curve = points(outcomes, positives)
    return sum(max((p for r, p in curve if r >= i * 0.1), default=0.0) for i in range(11)) / 11
