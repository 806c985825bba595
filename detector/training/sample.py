"""Batches of regions drawn over the whole data set (R-CNN, arXiv 1311.2524, section 2.3)."""

from typing import NamedTuple

import numpy as np

from detector.config import RegionTraining
from detector.errors import DataError
from detector.records import BACKGROUND, FIRST_LABEL, Array, Bool, Int64

CHUNK = 1 << 24  # labels looked at in one go
FEW_POSITIVES, FEW_NEGATIVES = 8, 24  # of one image, in the shares of the paper's batches


class Draw(NamedTuple):
    """The regions of one batch, (B,) each: image, region within the image, label, whether to mirror it.

    seed is that of the region's change of colours.
    """

    image: Int64
    region: Int64
    label: Int64
    mirror: Bool
    seed: Int64

    def share(self, rank: int, world: int) -> "Draw":
        """The part of process `rank` of `world`; each has its share of the positives, which come first."""
        part = slice(rank, None, world)
        return Draw(self.image[part], self.region[part], self.label[part], self.mirror[part], self.seed[part])


class RegionSampler:
    """Draws `positives` regions that hold objects, the rest background, each uniformly with replacement.

    labels (R,) i16 of all regions of the data set, image after image (may be memory-mapped); offsets (n + 1,) i64
    where each image's begin. With `class_balance` the classes of the positives are drawn first, each as often as
    its number of regions to the power 1 - class_balance. Of the background a share `near_share` is drawn from
    regions that are `near` (R,) an object, where there are any. A batch depends on (seed, step) alone, so training
    resumes at any step. In memory it holds the rows of the positives: 8 bytes each.
    """

    def __init__(
        self,
        labels: Array,
        offsets: Int64,
        settings: RegionTraining,
        positives: int,
        seed: int,
        near: Array | None = None,
        near_share: float = 0.0,
    ) -> None:
        self.labels = labels
        self.offsets = offsets
        self.settings = settings
        self.count = positives
        self.seed = seed
        found, self.backgrounds = _positive_rows(labels)
        self.near = near if near_share and near is not None and _any_near(labels, near) else None
        self.near_share = near_share
        if not len(found):
            raise DataError("training needs a region that holds an object, got none in the training split")
        if positives < settings.batch_size and not self.backgrounds:
            raise DataError(
                "training needs background regions, got none: no training image is labelled for every class"
            )
        classes = labels[found]
        self.positives = found[np.argsort(classes, kind="stable")]  # (P,) rows, class after class
        self.per_class = np.bincount(classes)  # (C + 1,)
        weights = np.where(
            self.per_class > 0, self.per_class.astype(np.float64) ** (1 - settings.class_balance), 0
        )
        self.chances = weights / weights.sum()

    def draw(self, step: int) -> Draw:
        """The batch of `step`, positives first."""
        random = np.random.default_rng([self.seed, step])
        count = self.settings.batch_size
        objects = self.draw_objects(random, self.count)
        rows = np.concatenate([objects, self.draw_background(random, count - len(objects))])
        mirror = random.random(count) < 0.5 if self.settings.mirror else np.zeros(count, np.bool_)
        seeds = np.random.default_rng([self.seed, step, 1]).integers(0, 2**31, count)
        return self.at(rows, mirror, seeds)

    def at(self, rows: Int64, mirror: Bool, seed: Int64) -> Draw:
        """The regions at rows (B,) of the data set, mirrored and distorted as given."""
        image = np.searchsorted(self.offsets, rows, "right") - 1
        return Draw(image, rows - self.offsets[image], self.labels[rows].astype(np.int64), mirror, seed)

    def draw_objects(self, random: np.random.Generator, count: int) -> Int64:
        """Rows of positives, (count,): the class first, then one of its regions."""
        classes = random.choice(len(self.chances), count, p=self.chances)
        starts = np.cumsum(self.per_class) - self.per_class
        return self.positives[starts[classes] + random.integers(0, self.per_class[classes])]

    def draw_background(self, random: np.random.Generator, count: int) -> Int64:
        """`count` background rows, those drawn near an object first."""
        near = self._near_count(count)
        return np.concatenate([self._thrown(random, near, self.near), self._thrown(random, count - near, None)])

    def choose_background(self, random: np.random.Generator, rows: Int64, count: int) -> Int64:
        """`count` of the background rows of an image, those drawn near an object first."""
        beside = rows[:0] if self.near is None else rows[self.near[rows]]
        near = self._near_count(count) if len(beside) else 0
        chosen = [random.choice(beside, near)] if near else []
        return np.concatenate([*chosen, random.choice(rows, count - near)])

    def _near_count(self, count: int) -> int:
        """How many of so many background regions are drawn from those near an object."""
        return 0 if self.near is None else round(self.near_share * count)

    def _thrown(self, random: np.random.Generator, count: int, near: Array | None) -> Int64:
        """`count` background rows, of those in the mask `near` if there is one.

        They are drawn over all rows, of which the wrong ones are thrown back.
        """
        kept = np.empty(0, np.int64)
        while len(kept) < count:
            rows = random.integers(0, len(self.labels), 4 * count)
            is_wanted = self.labels[rows] == BACKGROUND
            kept = np.concatenate([kept, rows[is_wanted if near is None else is_wanted & near[rows]]])
        return kept[:count]


def _positive_rows(labels: Array) -> tuple[Int64, int]:
    """The rows (P,) of labels of classes, and the number of background ones; memory for a chunk at a time."""
    rows, backgrounds = [np.empty(0, np.int64)], 0
    for start in range(0, len(labels), CHUNK):
        chunk = np.asarray(labels[start : start + CHUNK])
        rows.append(np.flatnonzero(chunk >= FIRST_LABEL) + start)
        backgrounds += int((chunk == BACKGROUND).sum())
    return np.concatenate(rows), backgrounds


def _any_near(labels: Array, near: Array) -> bool:
    """Whether any background region is near an object; memory for a chunk at a time."""
    parts = (slice(start, start + CHUNK) for start in range(0, len(labels), CHUNK))
    return any(bool(((labels[part] == BACKGROUND) & near[part]).any()) for part in parts)


def draw_regions(labels: Array, seed: int) -> Int64:
    """Of an image with region labels (R,) the rows, rising, of `FEW_POSITIVES` objects and `FEW_NEGATIVES`.

    Drawn at random, always the same for a seed; as many as there are where there are fewer.
    """
    random = np.random.default_rng(seed)
    drawn = [
        random.permutation(np.flatnonzero(mask))[:count]
        for mask, count in ((labels > BACKGROUND, FEW_POSITIVES), (labels == BACKGROUND, FEW_NEGATIVES))
    ]
    return np.sort(np.concatenate(drawn))
