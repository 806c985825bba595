"""Slow, obvious versions of box regression."""

import numpy as np
from oracles_boxes import iou_of_two

from detector.records import Array, GroundTruth


def released_regressor(features: Array, targets: Array, ridge: float) -> tuple[Array, Array]:
    """Weights (4, F) and bias (4,) step by step as R-CNN's code: targets centred, whitened, and back."""
    mean = targets.mean(0)
    centred = targets - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(targets))
    whiten = vectors @ np.diag(1 / np.sqrt(values + 0.001)) @ vectors.T
    unwhiten = vectors @ np.diag(np.sqrt(values + 0.001)) @ vectors.T
    rows = np.concatenate([features, np.ones((len(features), 1))], axis=1).astype(np.float64)
    solution = np.linalg.solve(rows.T @ rows + ridge * np.eye(rows.shape[1]), rows.T @ (centred @ whiten))
    solution = solution @ unwhiten
    return solution[:-1].T, solution[-1] + mean


def pairs_one_by_one(boxes: Array, truth: GroundTruth, min_iou: float) -> list[tuple[int, int]]:
    """Each region with its best object, where that one is easy enough and near enough."""
    found = []
    for i, box in enumerate(boxes):
        best, best_iou = -1, min_iou
        for g, object_box in enumerate(truth.boxes):
            iou = iou_of_two(box, object_box)
            if iou > best_iou and not truth.difficult[g] and not truth.crowd[g]:
                best, best_iou = g, iou
        if best >= 0:
            found.append((i, best))
    return found


def error_without_each_image(features: Array, targets: Array, images: Array, ridge: float) -> float:
    """The squared error of each image's centred targets by a regression on all other images."""
    rows = np.concatenate([features, np.ones((len(features), 1))], axis=1).astype(np.float64)
    centred = targets - targets.mean(0)
    error = 0.0
    for image in np.unique(images):
        others, own = rows[images != image], rows[images == image]
        right = others.T @ centred[images != image]
        solution = np.linalg.solve(others.T @ others + ridge * np.eye(rows.shape[1]), right)
        error += ((own @ solution - centred[images == image]) ** 2).sum()
    return float(error)
