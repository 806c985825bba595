"""One ridge regression a class from features to better boxes (R-CNN, arXiv 1311.2524, appendix C).

Differs from the released system: there the four targets are whitened first. Ridge regression is linear in its
targets, so with one lambda for all four, undoing the whitening in the end undoes all that it did.
"""

import numpy as np
import torch
from torch import Tensor

from detector.boxes import box_iou, encode_boxes
from detector.errors import DataError
from detector.records import Float32, GroundTruth, Int64

LEAST_PAIRS = 10  # of a class; with fewer its boxes stay as they are
BLOCK = 4096  # rows taken to float64 at once


def pairs(boxes: Float32, truth: GroundTruth, min_iou: float) -> tuple[Int64, Int64]:
    """The regions (M,) of boxes (N, 4), in order, that overlap their best object by more, and that object (M,).

    Both are positions. Difficult and crowd objects do not count; the first object wins a tie.
    """
    objects = np.flatnonzero(~(truth.difficult | truth.crowd))
    if not len(objects):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    overlap = box_iou(boxes, truth.boxes[objects])  # (N, G)
    regions = np.flatnonzero(overlap.max(1) > min_iou)
    return regions, objects[overlap[regions].argmax(1)]


def fit_ridge(features: Tensor, regions: Float32, objects: Float32, ridge: float) -> tuple[Tensor, Tensor]:
    """weights (4, F) and bias (4,) f32, by which features @ weights.T + bias are offsets of `encode_boxes`.

    features (n, F) of regions (n, 4) whose objects are (n, 4), all of one class; solved on the features' device,
    in float64. The offsets' means are taken off first; the constant feature 1 is held small by `ridge` like all
    others, as released. All zeros where there are fewer than `LEAST_PAIRS` rows.
    """
    count, width = features.shape
    if count < LEAST_PAIRS:
        return features.new_zeros((4, width), dtype=torch.float32), features.new_zeros(4, dtype=torch.float32)
    offsets = encode_boxes(regions.astype(np.float64), objects.astype(np.float64))
    targets = torch.from_numpy(offsets).to(features.device)
    mean = targets.mean(0)
    solve = _solve_by_rows if count <= width else _solve_by_features
    solution = solve(features, targets - mean, ridge)  # (F + 1, 4)
    return solution[:-1].T.float().contiguous(), (solution[-1] + mean).float()


def _solve_by_features(features: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """(X'X + ridge)^-1 X'Y (F + 1, 4), of X = [features, 1] and targets Y (n, 4)."""
    width = features.shape[1] + 1
    gram, right = targets.new_zeros(width, width), targets.new_zeros(width, 4)
    for rows, wanted in zip(features.split(BLOCK), targets.split(BLOCK), strict=True):
        exact = _with_constant(rows)
        gram.addmm_(exact.T, exact)
        right.addmm_(exact.T, wanted)
    return _solve_ridge(gram, right, ridge)


def _solve_by_rows(features: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """The same as X'(XX' + ridge)^-1 Y, which is less work where there are fewer rows than features."""
    exact = _with_constant(features)
    return exact.T @ _solve_ridge(exact @ exact.T, targets, ridge)


def _with_constant(features: Tensor) -> Tensor:
    exact = features.double()
    return torch.cat([exact, exact.new_ones(len(exact), 1)], dim=1)


def _solve_ridge(gram: Tensor, right: Tensor, ridge: float) -> Tensor:
    """(gram + ridge)^-1 right; `gram` is overwritten."""
    gram.diagonal().add_(ridge)
    factor, failed = torch.linalg.cholesky_ex(gram)
    if failed or not factor.isfinite().all():
        raise DataError(f"boxes.ridge must be large enough for the regressors to be solved, got {ridge:g}")
    return torch.cholesky_solve(right, factor)
