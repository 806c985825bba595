"""Slow, obvious versions of SVM training: LIBLINEAR on one class after another. They need scikit-learn."""

from dataclasses import dataclass, field

import numpy as np

from detector.config import SvmSettings
from detector.records import Array


def linear_svm(features: Array, positive: Array, settings: SvmSettings) -> tuple[Array, float]:
    """Weights (F,) and bias by LIBLINEAR, to high precision."""
    from sklearn.svm import LinearSVC

    machine = LinearSVC(
        loss="hinge",
        dual=True,
        C=settings.c,
        intercept_scaling=settings.bias,
        class_weight={True: settings.positive_weight, False: 1.0},
        tol=1e-7,
        max_iter=100_000,
        random_state=0,
    )
    machine.fit(features.astype(np.float64), positive)
    return machine.coef_[0], float(machine.intercept_[0])


def svm_objective(weights: Array, bias: float, features: Array, positive: Array, settings: SvmSettings) -> float:
    """What an SVM minimises, by the definition."""
    total = 0.5 * float((weights.astype(np.float64) ** 2).sum()) + 0.5 * (bias / settings.bias) ** 2
    for row, is_positive in zip(features.astype(np.float64), positive, strict=True):
        score = float(row @ weights) + bias
        if is_positive:
            total += settings.c * settings.positive_weight * max(0.0, 1 - score)
        else:
            total += settings.c * max(0.0, 1 + score)
    return total


@dataclass
class MinedClass:
    """One class's SVM, the ids of its cached negatives, and what happened."""

    weights: Array
    bias: float = 0.0
    cache: dict[int, Array] = field(default_factory=dict)
    trainings: int = 0
    evicted: int = 0


def mine_one_class(
    positives: Array, ids: Array, features: Array, negative: Array, settings: SvmSettings
) -> MinedClass:
    """Hard negative mining for one class: regions in groups of `retrain_after`, negatives at the mask (n,)."""
    mined = MinedClass(np.zeros(features.shape[1]))
    new = 0
    for _ in range(settings.passes):
        for first in range(0, len(ids), settings.retrain_after):
            for i in range(first, min(first + settings.retrain_after, len(ids))):
                score = features[i] @ mined.weights + mined.bias
                if negative[i] and score > settings.hard_score and int(ids[i]) not in mined.cache:
                    mined.cache[int(ids[i])] = features[i]
                    new += 1
            if new >= settings.retrain_after:
                _train(mined, positives, settings)
                new = 0
    if new:
        _train(mined, positives, settings)
    return mined


def _train(mined: MinedClass, positives: Array, settings: SvmSettings) -> None:
    rows = np.concatenate([positives, *(row[None] for row in mined.cache.values())])
    mined.weights, mined.bias = linear_svm(rows, np.arange(len(rows)) < len(positives), settings)
    mined.trainings += 1
    for key, row in list(mined.cache.items()):
        if row @ mined.weights + mined.bias < settings.evict_score:
            del mined.cache[key]
            mined.evicted += 1
