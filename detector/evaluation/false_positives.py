"""What the best-scored false positives are: Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012, 3.1.

Differs from the paper: it parts other classes into similar ones, of hand-made groups (animals, vehicles,
furniture), and the rest; there are no such groups here, and any other class is one kind.
"""

from dataclasses import dataclass

import numpy as np

from detector.evaluation.matching import FALSE_POSITIVE
from detector.evaluation.neighbours import nearest_objects
from detector.evaluation.outcomes import MatchedDetections, group_by_class
from detector.records import Array, Float64, Int64, take

KINDS = ("localisation", "other class", "background")
LOCALISATION, OTHER_CLASS, NOTHING = range(3)
NEAR = 0.1  # IoU from which a false positive has to do with an object (the paper's section 3.1)
RANKS = 25 * 2 ** np.arange(8)  # 25 to 3,200 (the paper's figure 4)


@dataclass(frozen=True, eq=False)
class FalsePositives:
    """How many of each class's best-scored false positives are of each of the `KINDS`.

    counts (C, K, 3) are of the first ranks[k] of a class, or of all where it has fewer; top (C, 3) of as many as
    the class has objects. kinds (M,) is the kind of each detection as matched, -1 if it is no false positive.
    """

    ranks: Int64
    counts: Int64
    top: Int64
    kinds: Int64


def rank_false_positives(matched: MatchedDetections, ranks: Int64 = RANKS) -> FalsePositives:
    """The kinds of the false positives of `matched`; for COCO at IoU 0.5.

    Localisation: IoU of 0.1 or more with an object of the class, which may have been hit before (a duplicate);
    other class: that IoU with an object of another class; background: the rest. Blacklisted objects and crowds are
    not looked at.
    """
    kinds = _kinds(matched)
    rows, edges = group_by_class(matched.detections.labels, matched.num_classes)
    counts = np.zeros((matched.num_classes, len(ranks) + 1, len(KINDS)), np.int64)
    for c, objects in enumerate(matched.positives):
        own = kinds[rows[edges[c] : edges[c + 1]]]
        counts[c] = _among_first(own[own >= 0], np.append(ranks, objects))
    return FalsePositives(ranks, counts[:, :-1], counts[:, -1], kinds)


def mean_shares(counts: Int64) -> Float64:
    """The shares (..., 3) of the kinds in counts (C, ..., 3), averaged over the classes with false positives."""
    total = counts.sum(axis=-1, keepdims=True)
    shares = counts / np.maximum(total, 1)
    classes = (total > 0).sum(axis=0)
    return np.divide(shares.sum(axis=0), classes, out=np.full(shares.shape[1:], np.nan), where=classes > 0)


def _kinds(matched: MatchedDetections) -> Int64:
    near = nearest_objects(take(matched.objects, matched.counted | matched.objects.difficult), matched.detections)
    kinds = np.where(near.other_iou >= NEAR, OTHER_CLASS, NOTHING)
    kinds[near.same_iou >= NEAR] = LOCALISATION
    kinds[matched.outcomes[0] != FALSE_POSITIVE] = -1
    return kinds


def _among_first(kinds: Array, ranks: Int64) -> Int64:
    """How many (K, 3) of each kind are among the first ranks[k] of `kinds`."""
    running = np.cumsum(kinds[:, None] == np.arange(len(KINDS)), axis=0)
    running = np.concatenate([np.zeros((1, len(KINDS)), np.int64), running])
    return running[np.minimum(ranks, len(kinds))]
