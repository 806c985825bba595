"""Logistic regression of one class at a time, by scikit-learn."""

from typing import Any

import numpy as np

from detector.records import Array


def standardised(features: Array) -> Array:
    """Features with mean 0 and variance 1 over the rows, in f64."""
    centred = features.astype(float) - features.astype(float).mean(0)
    spread = centred.std(0)
    return centred / np.where(spread > 0, spread, 1)


def fitted(features: Array, targets: Array, penalty: float) -> Any:
    """Minimises mean log loss + penalty / 2 * |weights|^2 over the rows whose target is not 0."""
    from sklearn.linear_model import LogisticRegression

    used = targets != 0
    model = LogisticRegression(C=1 / (penalty * used.sum()), tol=1e-9, max_iter=5000)
    return model.fit(features[used], targets[used])


def held_out_losses(features: Array, targets: Array, groups: Array, penalty: float, folds: int) -> float:
    """The mean log loss on rows of images that were held out, each `folds`-th at a time."""
    losses = []
    for fold in range(folds):
        inside = (groups % folds != fold) & (targets != 0)
        outside = (groups % folds == fold) & (targets != 0)
        model = fitted(features, np.where(inside, targets, 0), penalty)
        losses.extend(np.logaddexp(0, -targets[outside] * model.decision_function(features[outside])))
    return float(np.mean(losses))
