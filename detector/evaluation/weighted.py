"""Average precision of a data set whose images count several times each, or not at all.

An image that counts w times is w copies of it: its objects and its detections all count w times. Equal scores are
ordered once, as the protocol orders the images when each counts once; all copies of one detection come before
those of the next.
"""

from dataclasses import dataclass

import numpy as np

from detector.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE, Outcomes
from detector.evaluation.outcomes import MatchedDetections, group_by_class, protocol_of
from detector.jit import njit
from detector.records import FIRST_LABEL, Float64, Int64


@dataclass(frozen=True, eq=False)
class RankedClasses:
    """The outcomes (T, M) of detections grouped by class, best first: class c has edges[c] to edges[c + 1].

    image (M,) is each detection's; object_image and object_class (G,), from 0, are those of the counted objects;
    recalls are where the protocol reads precision, none if at every object.
    """

    outcomes: Outcomes
    image: Int64
    edges: Int64
    object_image: Int64
    object_class: Int64
    recalls: Float64


def rank_classes(matched: MatchedDetections) -> RankedClasses:
    """The detections and counted objects of `matched`, ready for `weighted_ap`."""
    rows, edges = group_by_class(matched.detections.labels, matched.num_classes)
    return RankedClasses(
        outcomes=np.ascontiguousarray(matched.outcomes[:, rows]),
        image=matched.detections.image[rows],
        edges=edges,
        object_image=matched.objects.image[matched.counted],
        object_class=matched.objects.labels[matched.counted] - FIRST_LABEL,
        recalls=protocol_of(matched.protocol).recalls,
    )


def weighted_ap(ranked: RankedClasses, weights: Int64) -> Float64:
    """The protocol's AP (C,) when image i counts weights[i] times; NaN for classes without an object then."""
    classes = len(ranked.edges) - 1
    positives = np.bincount(ranked.object_class, weights[ranked.object_image], classes)
    return _average_precisions(ranked.outcomes, ranked.image, ranked.edges, positives, weights, ranked.recalls)


def class_ap(matched: MatchedDetections) -> Float64:
    """The protocol's AP (C,); NaN for classes without an object, where ILSVRC's devkit has 0 or NaN."""
    return weighted_ap(rank_classes(matched), np.ones(matched.num_images, np.int64))


def mean_over_classes(ap: Float64) -> Float64:
    """The means (...,) of AP (..., C) over the classes where it is defined; NaN where it is for none."""
    known = ~np.isnan(ap)
    count = known.sum(axis=-1)
    total = np.where(known, ap, 0).sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


@njit(nogil=True)
def _average_precisions(outcomes, image, edges, positives, weights, recalls):  # type: ignore[no-untyped-def]
    longest = np.diff(edges).max() if len(positives) else 0
    recall, precision = np.empty(longest), np.empty(longest)
    ap = np.full(len(positives), np.nan)
    for c in range(len(positives)):
        if positives[c] == 0:
            continue
        rows = slice(edges[c], edges[c + 1])
        ap[c] = 0.0
        for t in range(len(outcomes)):
            count = _rising_points(outcomes[t, rows], image[rows], positives[c], weights, recall, precision)
            ap[c] += _mean_height(recall[:count], precision[:count], recalls) / len(outcomes)
    return ap


@njit(nogil=True)
def _rising_points(outcomes, image, positives, weights, recall, precision):  # type: ignore[no-untyped-def]
    """Write recall, and the best precision from there on, at each true positive; returns how many there are.

    Between the copies of one true positive precision only rises, so that the last copy's is the envelope of all.
    """
    hits, misses, count = 0, 0, 0
    for m in range(len(outcomes)):
        weight = weights[image[m]]
        if weight == 0:
            continue
        if outcomes[m] == FALSE_POSITIVE:
            misses += weight
        elif outcomes[m] == TRUE_POSITIVE:
            hits += weight
            recall[count], precision[count] = hits / positives, hits / (hits + misses)
            count += 1
    for k in range(count - 2, -1, -1):
        precision[k] = max(precision[k], precision[k + 1])
    return count


@njit(nogil=True)
def _mean_height(recall, heights, at):  # type: ignore[no-untyped-def]
    """The mean of `heights` at the recalls `at`, or over all of recall if there are none."""
    total, reached, before = 0.0, 0, 0.0
    for k in range(len(recall)):
        if len(at) == 0:
            total += (recall[k] - before) * heights[k]
            before = recall[k]
        while reached < len(at) and recall[k] >= at[reached]:
            total += heights[k] / len(at)
            reached += 1
    return total
