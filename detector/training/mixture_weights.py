"""How much each network of an ensemble counts in the mean of their probabilities."""

import numpy as np

from detector.errors import DataError
from detector.records import Array, Float64, Int64

LEAST_PROB = 1e-12  # where no model thinks the truth possible the log loss is kept finite
STEPS = 10_000  # at most


def fit_weights(probs: Array, labels: Int64, tolerance: float = 1e-5) -> Float64:
    """The weights (K,), at least 0 and of sum 1, of the mixture of K models of least mean log loss.

    probs (K, M, C + 1) are what the models say of M regions whose labels (M,) are 0..C. The loss is at most
    `tolerance` nats above the least one, unless `STEPS` were not enough. Models that say the same weigh the same.

    By expectation-maximisation of a mixture's shares: each step multiplies a model's weight by the mean of its
    probability of the truth over the mixture's, which never lowers the likelihood. That is concave, so the
    greatest of these factors, less 1, bounds what is still to gain.
    """
    if not len(probs) or not len(labels):
        raise DataError(f"probs must be those of a model at least, of a region at least, got {probs.shape}")
    likelihoods = np.maximum(probs[:, np.arange(len(labels)), labels].astype(np.float64), LEAST_PROB)  # (K, M)
    weights = np.full(len(probs), 1 / len(probs))
    for _ in range(STEPS):
        factors = (likelihoods / (weights @ likelihoods)).mean(axis=1)
        if factors.max() - 1 <= tolerance:
            break
        weights = weights * factors
    return weights / weights.sum()
