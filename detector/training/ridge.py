"""One ridge regression a class from features to better boxes (R-CNN, arXiv 1311.2524, appendix C).

Differs from the released system: there the four targets are whitened first. Ridge regression is linear in its
targets, so with one lambda for all four, undoing the whitening in the end undoes all that it did. And lambda can
be chosen for each class: the published 1000 is for the ten thousand pairs that a class has in ILSVRC, and leaves
the boxes of a few hundred photographs nearly where they are.
"""

import numpy as np
import torch
from torch import Tensor

from detector.boxes import box_iou, encode_boxes
from detector.errors import DataError
from detector.records import Float32, GroundTruth, Int64

LEAST_PAIRS = 10  # of a class; with fewer its boxes stay as they are
BLOCK = 4096  # rows taken to float64 at once
RIDGES = (1e5, 3e4, 1e4, 3e3, 1e3, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)  # to choose from; of equals the first
MOST_ROWS = 3000  # that a ridge is chosen by


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


def choose_ridge(features: Tensor, regions: Float32, objects: Float32, images: Int64) -> float:
    """The ridge of `RIDGES` under which regressors best foretell the offsets of an image that they have not seen.

    Rows as of `fit_ridge`, of one class; images (n,) says of which image each is. Whole images are left out, as
    rows of one object are nearly the same, and the squared error over all of them is least. One factorisation is
    enough: of H = X (X'X + ridge)^-1 X', which gives the fitted targets, the rows and columns of an image, H_ii,
    turn what is left of its targets into what is left without it, (1 - H_ii)^-1 (Y_i - HY_i). More than MOST_ROWS
    rows are those of images at even steps. The greatest ridge where there are fewer than `LEAST_PAIRS` rows.
    """
    if len(images) < LEAST_PAIRS:
        return RIDGES[0]
    rows = _rows_of_some_images(images)
    exact = _with_constant(features[torch.from_numpy(rows)])
    offsets = encode_boxes(regions[rows].astype(np.float64), objects[rows].astype(np.float64))
    targets = torch.from_numpy(offsets).to(exact.device)
    targets -= targets.mean(0)
    values, vectors = torch.linalg.eigh(exact @ exact.T)
    parts = [torch.from_numpy(np.flatnonzero(images[rows] == image)) for image in np.unique(images[rows])]
    errors = []
    for ridge in RIDGES:
        shrink = values.clamp(min=0) / (values.clamp(min=0) + ridge)
        errors.append(_error_left_out(vectors, shrink, targets, [part.to(exact.device) for part in parts]))
    return RIDGES[int(np.argmin(errors))]


def _rows_of_some_images(images: Int64) -> Int64:
    """Rows (m,), rising, of every k-th image, with the least k by which they are no more than `MOST_ROWS`."""
    found, places = np.unique(images, return_inverse=True)
    step = -(-len(images) // MOST_ROWS)
    while step < len(found) and (places % step == 0).sum() > MOST_ROWS:
        step += 1
    return np.flatnonzero(places % step == 0)


def _error_left_out(vectors: Tensor, shrink: Tensor, targets: Tensor, parts: list[Tensor]) -> float:
    """The squared error of targets (n, 4), each part's foretold by the rows of all others.

    The targets fitted by all rows are vectors diag(shrink) vectors' targets; `parts` are rows.
    """
    left = targets - (vectors * shrink) @ (vectors.T @ targets)
    error = 0.0
    for rows in parts:
        own = vectors[rows]
        rest = torch.eye(len(rows), dtype=own.dtype, device=own.device) - (own * shrink) @ own.T
        error += torch.linalg.solve(rest, left[rows]).square().sum().item()
    return error


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
