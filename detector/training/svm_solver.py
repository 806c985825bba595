"""One linear support vector machine: hinge loss and L2 regularisation, solved in the dual.

Coordinate ascent of the dual, as in LIBLINEAR, which R-CNN used (Hsieh et al., "A Dual Coordinate Descent Method
for Large-scale Linear SVM", ICML 2008). It runs in rounds: each measures the duality gap on all rows, then sweeps
a few times, in random order, over those rows alone that are not at rest at a bound.
"""

from dataclasses import dataclass

import numpy as np

from detector.config import SvmSettings
from detector.errors import DataError
from detector.jit import njit
from detector.records import Bool, Float32

ROUNDS = 200  # at most; features whose norms are about 20 take 5 to 10
SWEEPS = 10  # of a round at most; the first rounds, in which few rows rest yet, have 1, 2, 4, ...
FAST = {"reassoc", "contract", "nsz"}  # sums in the processor's own order; NaN stays NaN


@dataclass(frozen=True, eq=False)
class Svm:
    """An SVM, score = features . weights + bias, and how it did on the n rows that it was trained on.

    weights (F,) f32; alphas (n,) f32 are the dual variables, scores (n,) f32 the rows' scores. `objective` is at
    most `gap` above the least value that any weights can reach.
    """

    weights: Float32
    bias: float
    alphas: Float32
    scores: Float32
    objective: float
    gap: float


def solve_svm(features: Float32, positive: Bool, settings: SvmSettings, alphas: Float32 | None = None) -> Svm:
    """The SVM that tells the `positive` (n,) rows of features (n, F) from the others, to `settings.tolerance`.

    It minimises |w|^2 / 2 + sum_i c_i max(0, 1 - y_i (x_i . w)), where each x_i ends with a constant feature
    `settings.bias`, y_i is 1 or -1, and c_i is `settings.c`, times `settings.positive_weight` for positives.
    `alphas` (n,) to start from save time where they are near the answer. Where `ROUNDS` are not enough, as may
    happen for a tolerance under 1e-5 in float32, the gap says so. Equal problems get equal answers.
    DataError where a feature is not finite.
    """
    signs = np.where(positive, 1, -1).astype(np.float32)
    limits = (settings.c * np.where(positive, settings.positive_weight, 1)).astype(np.float32)
    alphas = np.zeros_like(limits) if alphas is None else np.clip(alphas, 0, limits)
    constant = np.float32(settings.bias)
    curvatures = _squares(features) + constant**2
    random = np.random.default_rng(0)
    for round_ in range(ROUNDS):
        weights = _combine(features, constant, alphas * signs)  # (F + 1,)
        scores = _score(features, constant, weights)
        slack = 1 - signs * scores
        objective, gap = _certify(weights, slack, alphas, limits)
        if gap <= settings.tolerance * objective or round_ == ROUNDS - 1:
            break
        at_rest = ((alphas <= 0) & (slack < 0)) | ((alphas >= limits) & (slack > 0))
        moving = np.flatnonzero(~at_rest)
        for _ in range(min(2**round_, SWEEPS)):
            _sweep(features, constant, signs, limits, curvatures, random.permutation(moving), alphas, weights)
    return Svm(weights[:-1], float(weights[-1] * constant), alphas, scores, objective, gap)


def _certify(weights: Float32, slack: Float32, alphas: Float32, limits: Float32) -> tuple[float, float]:
    """The objective of `weights`, which are those of `alphas`, and how far the dual's value is below it."""
    exact = weights.astype(np.float64)
    regulariser = exact @ exact / 2
    objective = regulariser + (limits * np.maximum(slack, 0)).sum(dtype=np.float64)
    if not np.isfinite(objective):
        raise DataError("features of an SVM must be finite, got NaN or infinity")
    return float(objective), float(objective - (alphas.sum(dtype=np.float64) - regulariser))


@njit(nogil=True, fastmath=FAST)
def _squares(features):  # type: ignore[no-untyped-def]
    """Squared norms (n,) of the rows."""
    squares = np.empty(features.shape[0], np.float32)
    for i in range(features.shape[0]):
        total = np.float32(0)
        for j in range(features.shape[1]):
            total += features[i, j] * features[i, j]
        squares[i] = total
    return squares


@njit(nogil=True, fastmath=FAST)
def _dot(row, constant, weights):  # type: ignore[no-untyped-def]
    """The score of a row (F,) that ends with `constant`."""
    total = np.float32(0)
    for j in range(row.shape[0]):
        total += row[j] * weights[j]
    return total + constant * weights[-1]


@njit(nogil=True, fastmath=FAST)
def _score(features, constant, weights):  # type: ignore[no-untyped-def]
    """Scores (n,) of the rows."""
    scores = np.empty(features.shape[0], np.float32)
    for i in range(features.shape[0]):
        scores[i] = _dot(features[i], constant, weights)
    return scores


@njit(nogil=True, fastmath=FAST)
def _combine(features, constant, factors):  # type: ignore[no-untyped-def]
    """The rows' sum (F + 1,), each times its factor (n,)."""
    width = features.shape[1]
    total = np.zeros(width + 1)  # in float64: what _sweep adds up in float32 is put right here
    for i in np.flatnonzero(factors):
        for j in range(width):
            total[j] += factors[i] * features[i, j]
        total[width] += factors[i] * constant
    return total.astype(np.float32)


@njit(nogil=True, fastmath=FAST)
def _sweep(features, constant, signs, limits, curvatures, order, alphas, weights):  # type: ignore[no-untyped-def]
    """Move each row's alpha, in this order, to the dual's maximum along it; alphas and weights change in place."""
    width = features.shape[1]
    for i in order:
        slack = 1 - signs[i] * _dot(features[i], constant, weights)
        alpha = min(max(alphas[i] + slack / curvatures[i], np.float32(0)), limits[i])
        step = (alpha - alphas[i]) * signs[i]
        if step != 0:
            alphas[i] = alpha
            for j in range(width):
                weights[j] += step * features[i, j]
            weights[width] += step * constant
