"""Two halves of a set of images that balance every class, as R-CNN split ILSVRC's val into val1 and val2.

Girshick et al., "Rich feature hierarchies", arXiv 1311.2524v5, section 4.2: images are grouped by their counts of
objects by class, the groups are divided, and a randomised local search improves the balance. The authors report
relative imbalances of 11% in the worst and 4% in the median class.

Differs from the paper: the groups are pairs of images, neighbours in the order of their counts, and the search
exchanges images, so that the halves hold as many images, too.
"""

import numpy as np

from detector.data.dataset import Dataset
from detector.records import FIRST_LABEL, Array, Bool, Float64, Int64

ROUNDS = 8  # of the search; on ILSVRC's val it finds nothing better after the second
ONE = 1 << 32  # an imbalance of 1 in whole numbers, so that every machine finds the same halves


def class_counts(dataset: Dataset) -> Int64:
    """Objects of each class in each image (n, C)."""
    counts = np.zeros((len(dataset), len(dataset.classes)), np.int64)
    np.add.at(counts, (dataset.objects.image, dataset.objects.labels - FIRST_LABEL), 1)
    return counts


def imbalance(counts: Int64, first: Bool) -> Float64:
    """|a - b| / (a + b) (C,) of each class's a objects in the `first` images (n,) and b in the others.

    counts (n, C); 0 for a class without objects.
    """
    a, b = counts[first].sum(axis=0), counts[~first].sum(axis=0)
    return np.abs(a - b) / np.maximum(a + b, 1)


def split_balanced(counts: Int64, seed: int) -> Bool:
    """Mask (n,) of the first half of the images with these counts (n, C), which leaves every class balanced.

    The halves hold as many images; of an odd number the first has one more.
    """
    random = np.random.default_rng(seed)
    absent = len(counts)  # an image without objects, should their number be odd
    counts = np.concatenate([counts, np.zeros((len(counts) % 2, counts.shape[1]), np.int64)])
    pairs = random.permuted(_neighbours(counts), axis=1)
    for _ in range(ROUNDS):
        pairs = _exchange(counts, pairs)
        pairs[:, 1] = random.permutation(pairs[:, 1])
    first = np.zeros(len(counts), np.bool_)
    first[pairs[:, 0]] = True
    return (first if not first[absent:].any() else ~first)[:absent]


def _neighbours(counts: Int64) -> Array:
    """The images in pairs (n / 2, 2): neighbours in the order of their counts, those of the rarest class first."""
    common_first = np.argsort(-counts.sum(axis=0), kind="stable")
    return np.lexsort(counts.T[common_first]).reshape(-1, 2)  # lexsort's last key counts most


def _exchange(counts: Int64, pairs: Array) -> Array:
    """`pairs` (P, 2) of an image in each half, of which the best is exchanged while that lowers the imbalance.

    What is lowered is the sum of the largest and the mean imbalance of a class.
    """
    pairs = pairs.copy()
    weight = ONE // np.maximum(counts.sum(axis=0), 1)
    moved = 2 * (counts[pairs[:, 0]] - counts[pairs[:, 1]])  # (P, C) how an exchange lowers the difference
    difference = moved.sum(axis=0) // 2
    lowest = _badness(difference[None], weight)[0]
    while len(pairs):
        badness = _badness(difference - moved, weight)
        best = int(badness.argmin())
        if badness[best] >= lowest:
            break
        lowest = badness[best]
        difference = difference - moved[best]
        moved[best] *= -1
        pairs[best] = pairs[best, ::-1]
    return pairs


def _badness(differences: Int64, weight: Int64) -> Int64:
    """The largest and the mean imbalance, added (K,), times C, of differences (K, C) between the halves."""
    imbalances = np.abs(differences) * weight
    return imbalances.max(axis=1) * len(weight) + imbalances.sum(axis=1)
