"""Random scenes with every kind of error, and the slow ways to count them."""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from oracles_evaluation import overlap

from detector.evaluation.evaluator import evaluate
from detector.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detector.evaluation.outcomes import NO_BLACKLIST, MatchedDetections
from detector.records import DetectionTable, Float64, Int64, ObjectTable, Report, join, object_table, take

Scene = tuple[ObjectTable, DetectionTable, int, int, Int64]  # objects, detections, images, classes, blacklist


def random_scene(
    seed: int, *, most: int = 90, difficult: bool = False, crowds: bool = False, blacklist: bool = False
) -> Scene:
    """Objects, and detections near them, of wrong classes, shifted, doubled and at random, with equal scores."""
    random = np.random.default_rng(seed)
    images, classes = int(random.integers(1, 8)), int(random.integers(1, 5))
    count, found = int(random.integers(1, 25)), int(random.integers(1, most))
    image, labels = random.integers(0, images, count), random.integers(1, classes + 1, count)
    flags = random.random((2, count)) < 0.2
    pairs = np.stack([random.integers(0, images, 2), random.integers(1, classes + 1, 2)], axis=1)
    objects = object_table(image, _boxes(random, count), labels, flags[0] & difficult, flags[1] & crowds)
    rows = random.integers(0, count, found)
    near = random.random(found) < 0.75
    shift = random.integers(-16, 17, (found, 4)) * random.choice([0.0, 0.25, 1.0], (found, 1))
    detections = DetectionTable(
        np.where(near, image[rows], random.integers(0, images, found)),
        np.where(near[:, None], objects.boxes[rows] + shift, _boxes(random, found)),
        np.where(random.random(found) < 0.7, labels[rows], random.integers(1, classes + 1, found)),
        random.integers(1, 40, found) / 40,
    )
    return objects, detections, images, classes, pairs if blacklist else NO_BLACKLIST


def _boxes(random: np.random.Generator, count: int) -> Float64:
    corner = random.integers(0, 130, (count, 2))
    return np.concatenate([corner, corner + random.integers(34, 70, (count, 2))], axis=1) / 1.0


def without_ties(matched: MatchedDetections) -> DetectionTable:
    """The detections with scores that fall in the order in which the protocol ranks them."""
    ranked = matched.detections
    return replace(ranked, scores=-np.arange(len(ranked.scores), dtype=np.float64))


def evaluate_copies(
    protocol: str,
    objects: ObjectTable,
    detections: DetectionTable,
    drawn: Sequence[int],
    classes: int,
    blacklist: Int64,
) -> Report:
    """The evaluation of a data set that holds the images `drawn`, some of them several times."""
    truth, found, pairs = [take(objects, objects.image < 0)], [take(detections, detections.image < 0)], []
    for position, image in enumerate(drawn):
        mine, theirs = take(objects, objects.image == image), take(detections, detections.image == image)
        truth.append(replace(mine, image=np.full_like(mine.image, position)))
        found.append(replace(theirs, image=np.full_like(theirs.image, position)))
        pairs += [(position, int(label)) for other, label in blacklist if other == image]
    return evaluate(
        protocol,
        join(truth),
        join(found),
        len(drawn),
        classes,
        np.array(pairs, np.int64).reshape(-1, 2),
    )


def best_overlaps(objects: ObjectTable, detections: DetectionTable) -> list[tuple[float, float]]:
    """Each detection's best overlap with an object of its image and class, and with one of another class."""
    best = []
    for m in range(len(detections.labels)):
        same, other = [0.0], [0.0]
        for g in range(len(objects.labels)):
            if objects.image[g] == detections.image[m]:
                values = same if objects.labels[g] == detections.labels[m] else other
                values.append(overlap(detections.boxes[m], objects.boxes[g]))
        best.append((max(same), max(other)))
    return best


def confusions(
    objects: ObjectTable, detections: DetectionTable, classes: int, blacklist: Int64, thresholds: Float64
) -> list[list[int]]:
    """How often objects of the row's label were detected as the column's."""
    left_out = {(int(i), int(c)) for i, c in blacklist}
    table = [[0] * (classes + 1) for _ in range(classes + 1)]
    free = [
        g
        for g in range(len(objects.labels))
        if not objects.crowd[g] and (int(objects.image[g]), int(objects.labels[g])) not in left_out
    ]
    for m in sorted(range(len(detections.labels)), key=lambda m: -detections.scores[m]):
        label, image = int(detections.labels[m]), int(detections.image[m])
        if (image, label) in left_out or not detections.scores[m] >= thresholds[label - 1]:
            continue
        best, best_overlap = -1, 0.0
        for g in free:
            value = overlap(detections.boxes[m], objects.boxes[g])
            if objects.image[g] == image and value >= 0.5 and value > best_overlap:
                best, best_overlap = g, value
        if best >= 0:
            free.remove(best)
            if not objects.difficult[best]:
                table[int(objects.labels[best])][label] += 1
        elif not _in_a_crowd(objects, image, label, detections.boxes[m]):
            table[0][label] += 1
    for g in free:
        if not objects.difficult[g]:
            table[int(objects.labels[g])][0] += 1
    return table


def _in_a_crowd(objects: ObjectTable, image: int, label: int, box: Float64) -> bool:
    """Whether half of the box lies in a crowd of its image and class."""
    for g in np.flatnonzero(objects.crowd & (objects.image == image) & (objects.labels == label)):
        width = min(box[2], objects.boxes[g, 2]) - max(box[0], objects.boxes[g, 0])
        height = min(box[3], objects.boxes[g, 3]) - max(box[1], objects.boxes[g, 1])
        if width > 0 and height > 0 and width * height >= 0.5 * (box[2] - box[0]) * (box[3] - box[1]):
            return True
    return False


def outcomes_by_size(matched: MatchedDetections, low: float, high: float, row: int = 0) -> list[str]:
    """Each detection's outcome when only objects of an area of low to high count."""
    words = {TRUE_POSITIVE: "hit", FALSE_POSITIVE: "miss", IGNORED: "ignored"}
    found = []
    for m, box in enumerate(matched.detections.boxes):
        outcome = words[int(matched.outcomes[row, m])]
        area = (box[2] - box[0]) * (box[3] - box[1])
        if outcome == "hit":
            area = matched.objects.areas[matched.hits[row, m]]
        found.append(outcome if low <= area < high else "ignored")
    return found


def tidecv_numbers(scene: Scene) -> tuple[float, list[int], list[float], float, float]:
    """mAP, the six counts, the six gains and the two special ones of the program tidecv, all in 0..1."""
    tidecv: Any = importlib.import_module("tidecv")
    special_errors = tidecv.errors.main_errors
    objects, detections, images, classes, blacklist = scene
    truth, found = tidecv.Data("truth"), tidecv.Data("found")
    for label in range(1, classes + 1):
        truth.add_class(label, str(label))
    for image in range(images):
        truth.add_image(image, str(image))
    pairs = {(int(image), int(label)) for image, label in blacklist}
    for image, label in sorted(pairs):
        truth.add_ignore_region(image, label)
    for g, box in enumerate(_sides(objects.boxes)):
        image, label = int(objects.image[g]), int(objects.labels[g])
        if objects.crowd[g] or objects.difficult[g]:
            truth.add_ignore_region(image, label, box)
        elif (image, label) not in pairs:
            truth.add_ground_truth(image, label, box)
    for m, box in enumerate(_sides(detections.boxes)):
        found.add_detection(int(detections.image[m]), int(detections.labels[m]), float(detections.scores[m]), box)
    run = tidecv.TIDE().evaluate(truth, found)
    counts = run.count_errors()
    gains = run.fix_main_errors()
    special = run.fix_special_errors()
    types = tidecv.TIDE._error_types
    return (
        run.ap / 100,
        [counts[kind] for kind in types],
        [gains[kind] / 100 for kind in types],
        special[special_errors.FalsePositiveError] / 100,
        special[special_errors.FalseNegativeError] / 100,
    )


def _sides(boxes: Float64) -> list[list[float]]:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
