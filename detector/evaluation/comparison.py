"""Two runs on the same images: how far apart they are, whether by chance, and on which images.

Both runs are evaluated on the same resampled images, so that what makes an image hard or easy for both cancels.
"""

from dataclasses import dataclass

import numpy as np

from detector.errors import DataError
from detector.evaluation.bootstrap import RESAMPLES, resampled_aps, standard_intervals
from detector.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE
from detector.evaluation.outcomes import MatchedDetections
from detector.evaluation.thresholds import best_thresholds, kept
from detector.evaluation.weighted import class_ap, mean_over_classes
from detector.records import Float64, Int64


@dataclass(frozen=True, eq=False)
class Comparison:
    """The first run's numbers less the second's, with 95% intervals, from bootstraps over the same images.

    mean_ap (2,) and ap (2, C) are the runs' own, over the classes with objects; difference and its interval (2,),
    ap_difference (C,) and its intervals (C, 2). first_better is the share of resamples with a higher mean for the
    first run, equal ones counting half. hits (2, I) and misses (2, I) are the true and the false positives of each
    image among the detections that reach their own run's best-F1 thresholds.
    """

    mean_ap: Float64
    difference: float
    difference_interval: Float64
    first_better: float
    ap: Float64
    ap_difference: Float64
    ap_difference_intervals: Float64
    hits: Int64
    misses: Int64


def compare(
    first: MatchedDetections,
    second: MatchedDetections,
    random: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Comparison:
    """The comparison of two runs matched by one protocol to the same objects; DataError if they are not."""
    _check_same_data(first, second)
    ap = np.stack([class_ap(first), class_ap(second)])
    mean_ap = mean_over_classes(ap)
    aps = resampled_aps([first, second], random, resamples)  # (2, B, C)
    gains = -np.diff(mean_over_classes(aps), axis=0)[0]  # (B,)
    return Comparison(
        mean_ap=mean_ap,
        difference=float(mean_ap[0] - mean_ap[1]),
        difference_interval=standard_intervals(mean_ap[0] - mean_ap[1], gains),
        first_better=_share_positive(gains),
        ap=ap,
        ap_difference=ap[0] - ap[1],
        ap_difference_intervals=standard_intervals(ap[0] - ap[1], aps[0] - aps[1]),
        hits=np.stack([_per_image(first, TRUE_POSITIVE), _per_image(second, TRUE_POSITIVE)]),
        misses=np.stack([_per_image(first, FALSE_POSITIVE), _per_image(second, FALSE_POSITIVE)]),
    )


def changed_images(comparison: Comparison, count: int) -> Int64:
    """At most `count` images whose true and false positives changed most in number, the most changed first.

    Of equally changed ones the earlier is first; unchanged ones are left out.
    """
    change = (np.abs(np.diff(comparison.hits, axis=0)) + np.abs(np.diff(comparison.misses, axis=0)))[0]
    order = np.argsort(-change, kind="stable")[:count]
    return order[change[order] > 0]


def _share_positive(values: Float64) -> float:
    """The share of positive ones among the `values` that are not NaN, zeros counting half; NaN of none."""
    signs = np.sign(values[~np.isnan(values)])
    return float(np.mean((signs + 1) / 2)) if len(signs) else float("nan")


def _per_image(matched: MatchedDetections, outcome: int) -> Int64:
    """How many (I,) of the detections above the best-F1 thresholds have this outcome."""
    chosen = kept(matched, best_thresholds(matched).scores) & (matched.outcomes[0] == outcome)
    return np.bincount(matched.detections.image[chosen], minlength=matched.num_images).astype(np.int64)


def _check_same_data(first: MatchedDetections, second: MatchedDetections) -> None:
    if first.protocol != second.protocol:
        raise DataError(f"second.protocol must be {first.protocol} as the first's, got {second.protocol}")
    if (first.num_images, first.num_classes) != (second.num_images, second.num_classes):
        raise DataError(
            f"second must be of {first.num_images} images and {first.num_classes} classes as the first, "
            f"got {second.num_images} and {second.num_classes}"
        )
    for name in ("image", "labels", "boxes"):
        if not np.array_equal(getattr(first.objects, name), getattr(second.objects, name)):
            raise DataError(f"second.objects.{name} must be the first's, got others")
    if not np.array_equal(first.counted, second.counted):
        raise DataError("second.counted must be the first's, got others")
