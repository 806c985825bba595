"""Batches of regions drawn over the whole data set (R-CNN, arXiv 1311.2524, section 2.3)."""

from typing import NamedTuple

import numpy as np

from detector.config import FinetuneSettings
from detector.errors import DataError
from detector.records import BACKGROUND, FIRST_LABEL, Array, Bool, Int64

CHUNK = 1 << 24  # labels looked at in one go


class Draw(NamedTuple):
    """The regions of one batch, (B,) each: image, region within the image, label, whether to mirror it."""

    image: Int64
    region: Int64
    label: Int64
    mirror: Bool


class RegionSampler:
    """Draws `positives` regions of all classes together, the rest background, each uniformly with replacement.

    labels (R,) i16 of all regions of the data set, image after image (may be memory-mapped); offsets (n + 1,) i64
    where each image's begin. A batch depends on (seed, step) alone, so training resumes at any step.
    """

    def __init__(self, labels: Array, offsets: Int64, settings: FinetuneSettings, seed: int) -> None:
        self.labels = labels
        self.offsets = offsets
        self.settings = settings
        self.seed = seed
        chunks = [labels[start : start + CHUNK] for start in range(0, len(labels), CHUNK)]
        starts = range(0, len(labels), CHUNK)
        found = [np.flatnonzero(c >= FIRST_LABEL) + s for c, s in zip(chunks, starts, strict=True)]
        self.positives = np.concatenate([np.empty(0, np.int64), *found])  # (P,) rows
        self.backgrounds = sum(int((chunk == BACKGROUND).sum()) for chunk in chunks)
        if not len(self.positives):
            raise DataError("training needs a region that holds an object, got none in the training split")
        if not self.backgrounds:
            raise DataError(
                "training needs background regions, got none: no training image is labelled for every class"
            )

    def draw(self, step: int) -> Draw:
        """The batch of `step`, positives first."""
        random = np.random.default_rng([self.seed, step])
        count = self.settings.batch_size
        positives = random.choice(self.positives, self.settings.positives)
        rows = np.concatenate([positives, self._draw_background(random, count - len(positives))])
        image = np.searchsorted(self.offsets, rows, "right") - 1
        mirror = random.random(count) < 0.5 if self.settings.mirror else np.zeros(count, np.bool_)
        return Draw(image, rows - self.offsets[image], self.labels[rows].astype(np.int64), mirror)

    def _draw_background(self, random: np.random.Generator, count: int) -> Int64:
        """`count` background rows: draws over all rows, of which the wrong ones are thrown back."""
        kept = np.empty(0, np.int64)
        while len(kept) < count:
            rows = random.integers(0, len(self.labels), 4 * count)
            kept = np.concatenate([kept, rows[self.labels[rows] == BACKGROUND]])
        return kept[:count]
