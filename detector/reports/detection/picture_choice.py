"""Which images a report shows, and how they are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.drawing.pictures import draw_outcomes
from detector.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE
from detector.evaluation.outcomes import MatchedDetections
from detector.evaluation.thresholds import ScoreThresholds, kept
from detector.records import Array, Detections, Float64, GroundTruth, Image, Int64, take

BEST, WORST, RANDOM = "Best", "Worst", "Random"
PICTURE_SIDE = 640  # pixels


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of the report, RGB with everything drawn, and the line under it; `page` is where more is told."""

    caption: str
    image: Image
    page: str = ""


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """How many (I,) true and false positives each image has, and objects that count and are missed."""

    hits: Int64
    misses: Int64
    missed: Int64

    @property
    def f1(self) -> Float64:
        """2PR / (P + R) (I,) of each image; NaN where there is neither object nor false positive."""
        total = 2 * self.hits + self.misses + self.missed
        return np.divide(2 * self.hits, total, out=np.full(len(total), np.nan), where=total > 0)

    def text(self, position: int) -> str:
        """The counts of one image in words."""
        objects = self.hits[position] + self.missed[position]
        return f"{self.hits[position]} of {objects} found, {self.misses[position]} false"


def count_images(matched: MatchedDetections, thresholds: ScoreThresholds) -> ImageCounts:
    """The counts of the detections that reach their class's threshold; for COCO at IoU 0.5."""
    shown = kept(matched, thresholds.scores)

    def count(rows: Array) -> Int64:
        return np.bincount(rows, minlength=matched.num_images).astype(np.int64)

    hits = count(matched.detections.image[shown & (matched.outcomes[0] == TRUE_POSITIVE)])
    misses = count(matched.detections.image[shown & (matched.outcomes[0] == FALSE_POSITIVE)])
    return ImageCounts(hits, misses, count(matched.objects.image[matched.counted]) - hits)


def choose_pictures(
    counts: ImageCounts, available: Sequence[int], count: int, random: np.random.Generator
) -> dict[str, list[int]]:
    """At most `count` of the images `available`: a third each of the best, the worst and others drawn at random.

    By F1; of equal ones those with more hits are better and those with more errors worse. Images without objects
    and false positives are left out, and headings without images.
    """
    f1 = counts.f1
    candidates = np.array([position for position in available if not np.isnan(f1[position])], np.int64)
    share, rest = divmod(min(count, len(candidates)), 3)
    errors = counts.misses + counts.missed
    best_first = candidates[np.lexsort((-counts.hits[candidates], -f1[candidates]))]
    best, others = np.split(best_first, [share + (rest > 0)])
    worst_first = others[np.lexsort((-errors[others], f1[others]))]
    worst, others = np.split(worst_first, [share + (rest > 1)])
    drawn = np.sort(random.choice(others, share, replace=False))
    groups = {BEST: best, WORST: worst, RANDOM: drawn}
    return {heading: positions.tolist() for heading, positions in groups.items() if len(positions)}


def worst_images(counts: ImageCounts, count: int) -> list[int]:
    """The `count` images that `choose_pictures` finds worst, the worst first, but none without an error."""
    errors = counts.misses + counts.missed
    candidates = np.flatnonzero(errors)
    order = np.lexsort((-errors[candidates], counts.f1[candidates]))
    return candidates[order[:count]].tolist()


def draw_image(
    pixels: Image,
    matched: MatchedDetections,
    thresholds: ScoreThresholds,
    position: int,
    names: Sequence[str],
    longer_side: int = PICTURE_SIDE,
) -> Image:
    """The image at `position` with its objects and the detections that reach their class's threshold."""
    shown = (matched.detections.image == position) & kept(matched, thresholds.scores)
    rows = np.flatnonzero(matched.objects.image == position)
    hit = matched.hits[0, shown & (matched.outcomes[0] == TRUE_POSITIVE)]
    found, objects = take(matched.detections, shown), take(matched.objects, rows)
    return draw_outcomes(
        pixels,
        Detections(found.boxes.astype(np.float32), found.labels, found.scores.astype(np.float32)),
        matched.outcomes[0, shown],
        GroundTruth(objects.boxes.astype(np.float32), objects.labels, objects.difficult, objects.crowd),
        matched.counted[rows] & ~np.isin(rows, hit),
        names,
        longer_side,
    )
