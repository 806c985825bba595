"""How far mAP would move with other images of the same kind: the bootstrap over images.

Images are drawn with replacement, as many as there are, and what was drawn is evaluated (Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993). Objects and detections of an image stay together. Intervals are the
standard ones: the estimate and 1.96 standard deviations of the resamples to both sides. Percentiles of the
resamples would be off centre, because AP is higher on average where fewer different objects count; with many rare
classes they can miss the estimate itself.

An interval speaks of the choice of test images alone, not of another training run; and that of a class with
objects in a handful of images is too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.errors import DataError
from detector.evaluation.outcomes import MatchedDetections
from detector.evaluation.weighted import class_ap, mean_over_classes, rank_classes, weighted_ap
from detector.records import Float64, Int64

RESAMPLES = 1000
DEVIATIONS = 1.96  # to both sides of a normal estimate lie 95%


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """mAP and the APs (C,) of the data as they are, with their 95% intervals (2,) and (C, 2).

    The mean is over the classes that have objects, and in each resample over those that have some there, so that a
    class that was not drawn does not make it undefined. mean_aps (B,) are those of the resamples.
    """

    mean_ap: float
    mean_ap_interval: Float64
    ap: Float64
    ap_intervals: Float64
    mean_aps: Float64


def bootstrap(matched: MatchedDetections, random: np.random.Generator, resamples: int = RESAMPLES) -> Bootstrap:
    """The intervals of the APs of `matched` from so many `resamples`; NaN where an AP is not defined."""
    ap = class_ap(matched)
    mean_ap = mean_over_classes(ap)
    aps = resampled_aps([matched], random, resamples)[0]
    mean_aps = mean_over_classes(aps)
    return Bootstrap(
        mean_ap=float(mean_ap),
        mean_ap_interval=np.clip(standard_intervals(mean_ap, mean_aps), 0, 1),
        ap=ap,
        ap_intervals=np.clip(standard_intervals(ap, aps), 0, 1),
        mean_aps=mean_aps,
    )


def resampled_aps(runs: Sequence[MatchedDetections], random: np.random.Generator, resamples: int) -> Float64:
    """The APs (R, B, C) of `runs` over the same images in each resample; NaN where a class has no object."""
    if resamples < 2:
        raise DataError(f"resamples must be at least 2, got {resamples}")
    ranked = [rank_classes(run) for run in runs]
    aps = np.empty((len(runs), resamples, runs[0].num_classes))
    for b in range(resamples):
        weights = draw_images(runs[0].num_images, random)
        for r, run in enumerate(ranked):
            aps[r, b] = weighted_ap(run, weights)
    return aps


def draw_images(num_images: int, random: np.random.Generator) -> Int64:
    """How often (I,) each image is drawn when as many are drawn as there are."""
    drawn = random.integers(0, max(num_images, 1), num_images)
    return np.bincount(drawn, minlength=num_images).astype(np.int64)


def standard_intervals(estimate: Float64, samples: Float64) -> Float64:
    """The 95% intervals (..., 2) around estimates (...,) with samples (B, ...), whose NaN are passed over."""
    known = ~np.isnan(samples)
    count = known.sum(axis=0)
    mean = np.where(known, samples, 0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(known, (samples - mean) ** 2, 0).sum(axis=0)
    variance = np.divide(squares, count - 1, out=np.full(count.shape, np.nan), where=count > 1)
    reach = DEVIATIONS * np.sqrt(variance)
    return np.stack([estimate - reach, estimate + reach], axis=-1)
