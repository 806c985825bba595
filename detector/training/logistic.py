"""Classes of regions by logistic regression on features that stand."""

import numpy as np
import torch

from detector.networks.context_maps import LinearRescoring
from detector.records import BACKGROUND, FIRST_LABEL, Array, Float32, Int64
from detector.training.context_fit import FittedRescoring, RescoringRows, fit_rescoring


def learn_regions(
    features: Float32, labels: Array, images: Int64, classes: int, tolerance: float = 1e-5, device: str = "cpu"
) -> FittedRescoring:
    """From features (M, F) to the log-odds (C,) of each class against background.

    labels (M,) are those of the regions, 0 of background, images (M,) rise and say of which image each region is.
    Each class is told from background alone: with 0 for background, the log-odds of all are the logits of a
    softmax (Begg and Gray, "Calculation of polychotomous logistic regression parameters using individualized
    regressions", Biometrika 1984).
    """
    groups = np.unique(images, return_inverse=True)[1]
    targets = np.zeros((len(labels), classes), np.int8)
    targets[labels == BACKGROUND] = -1
    objects = np.flatnonzero(labels > BACKGROUND)
    targets[objects, labels[objects] - FIRST_LABEL] = 1
    of_images = np.empty((groups.max(initial=-1) + 1, 0), np.float32)
    nothing = LinearRescoring(
        torch.zeros(classes, features.shape[1]), torch.zeros(classes, 0), torch.zeros(classes)
    )
    rows = RescoringRows(features, of_images, groups, targets)
    return fit_rescoring(rows, nothing, tolerance=tolerance, device=device)


def softmax_of(log_odds: LinearRescoring) -> dict[str, torch.Tensor]:
    """The state of a linear classifier (C + 1, F) whose softmax has these log-odds against output 0."""
    return {
        "weight": torch.cat([torch.zeros_like(log_odds.own[:1]), log_odds.own]),
        "bias": torch.cat([torch.zeros_like(log_odds.bias[:1]), log_odds.bias]),
    }
