"""Learning to rescore: for each class a linear map from the features of a region and its image to log-odds.

The contextual modelling of DeepID-Net (Ouyang et al., arXiv 1412.5661), where the features are a region's scores
and its image's 1,000 classification scores, or the classic one (Felzenszwalb et al., PAMI 2010, section 7.3).

Differs from the papers: logistic regression, not SVMs, so that the new scores of different classes can be
compared. The penalty draws a class towards the score that it had, not towards 0, and cross validation over images
says how hard, so that context which does not help changes little. DeepID-Net trains twice, the second time on the
ten image scores of greatest weight alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from detector.errors import DataError
from detector.networks.context_maps import LinearRescoring, weigh
from detector.records import Array, Bool, Float32, Float64, Int64
from detector.training.lbfgs import Minimum, minimise

PENALTIES = (1.0, 0.1, 0.01, 0.001)
FOLDS = 5
COARSER = 10  # tolerance of the fits that only choose a penalty


@dataclass(frozen=True, eq=False)
class RescoringRows:
    """Regions to learn from, M of G images: their features, and of which classes they are.

    own (M, D) f32, or (M, C, D) where each class has its own, are the regions' features, image (G, K) f32 the
    images', groups (M,) i64 each region's row of `image`. targets (M, C) int8: 1 for a class that the region is
    of, -1 for one that it is not of, 0 for one that is not to learn from it.
    """

    own: Float32
    image: Float32
    groups: Int64
    targets: Array

    def __post_init__(self) -> None:
        if not np.isfinite(self.own).all() or not np.isfinite(self.image).all():
            raise DataError("features of a rescoring must be finite, got NaN or infinity")
        counts = len(self.own), len(self.groups), len(self.targets)
        if len(set(counts)) > 1:
            raise DataError(
                f"rows of a rescoring must be as many in every array, got {', '.join(map(str, counts))}"
            )
        if self.groups.size and not 0 <= self.groups.min() <= self.groups.max() < len(self.image):
            raise DataError(f"groups must be rows of the {len(self.image)} images, got {self.groups.max()}")


@dataclass(frozen=True, eq=False)
class FittedRescoring:
    """The rescoring, and of each class (C,) how it came about.

    `penalties` were chosen, `losses` are the mean log losses on held-out images under them, `slopes` the greatest
    |gradient| where the search ended. A class not `learned` lacked positive or negative rows: it is the prior's.
    """

    linear: LinearRescoring
    penalties: Float64
    losses: Float64
    slopes: Float64
    learned: Bool


def fit_rescoring(
    rows: RescoringRows,
    prior: LinearRescoring,
    penalties: Sequence[float] = PENALTIES,
    tolerance: float = 1e-5,
    device: str = "cpu",
) -> FittedRescoring:
    """The rescoring that minimises, class by class, mean log loss + penalty / 2 * |weights - those of `prior`|^2.

    The weights are those of features scaled to variance 1; biases are free. A class gets the penalty under which
    the log loss on held-out images is least, of equals the greatest. Every `FOLDS`-th image is held out at a time.
    """
    problem = _Problem(rows, prior, torch.device(device))
    chosen, losses = _choose_penalties(problem, sorted(penalties, reverse=True), COARSER * tolerance)
    learned = problem.learnable(problem.signs != 0)
    best = problem.solve(problem.signs != 0, chosen, tolerance, problem.start())
    return FittedRescoring(
        problem.rescoring(best.points, prior),
        *(numbers.cpu().numpy() for numbers in (chosen, losses, best.slopes, learned)),
    )


def _choose_penalties(problem: "_Problem", penalties: list[float], tolerance: float) -> tuple[Tensor, Tensor]:
    """Of each class the first penalty (C,) of least mean loss on held-out images, and that loss (C,)."""
    usable = problem.signs != 0
    losses = problem.base.new_zeros(len(penalties), usable.shape[1])
    for fold in range(FOLDS):
        held_out = (problem.groups % FOLDS == fold)[:, None]
        points = problem.start()
        for row, penalty in enumerate(penalties):
            points = problem.solve(
                usable & ~held_out, torch.full_like(losses[0], penalty), tolerance, points
            ).points
            losses[row] += (problem.losses(problem.logits(points)) * (usable & held_out)).sum(0)
    least, choice = (losses / usable.sum(0).clamp(min=1)).min(0)
    return problem.base.new_tensor(penalties)[choice], least


class _Problem:
    """The rows as tensors in f64, their features centred and scaled to variance 1.

    A point (D + K + 1, C) is what is added to the prior: to the weights of own and image features and to the bias.
    """

    def __init__(self, rows: RescoringRows, prior: LinearRescoring, device: torch.device) -> None:
        own = torch.from_numpy(rows.own).to(device, torch.float64)
        image = torch.from_numpy(rows.image).to(device, torch.float64)
        self.groups = torch.from_numpy(rows.groups).to(device)
        self.signs = torch.from_numpy(rows.targets).to(device, torch.float64)  # (M, C)
        of_own, of_image, bias = (each.to(device, torch.float64) for each in (prior.own, prior.image, prior.bias))
        self.base = weigh(own, of_own) + functional.linear(image, of_image, bias)[self.groups]  # (M, C)
        self.own, self.own_mean, self.own_spread = _standardise(own)
        self.image, self.image_mean, self.image_spread = _standardise(image)

    def start(self) -> Tensor:
        """The point that adds nothing."""
        return self.base.new_zeros(self.own.shape[-1] + self.image.shape[1] + 1, self.base.shape[1])

    def learnable(self, usable: Tensor) -> Tensor:
        """Mask (C,) of the classes with both positives and negatives among the usable (M, C) rows."""
        return (usable & (self.signs > 0)).any(0) & (usable & (self.signs < 0)).any(0)

    def logits(self, points: Tensor) -> Tensor:
        """Log-odds (M, C) at a point."""
        own, image, bias = self._split(points)
        return self.base + weigh(self.own, own) + functional.linear(self.image, image, bias)[self.groups]

    def losses(self, logits: Tensor) -> Tensor:
        """The log loss (M, C) of each row and class."""
        return functional.softplus(-self.signs * logits)

    def solve(self, usable: Tensor, penalties: Tensor, tolerance: float, start: Tensor) -> Minimum:
        """The best point for the usable (M, C) rows; classes that cannot be learned stay at their start."""
        usable = usable & self.learnable(usable)
        shares = self.signs * usable / usable.sum(0).clamp(min=1)  # of a row in its class's mean, with its sign
        pull = penalties.repeat(len(start), 1) * usable.any(0)
        pull[-1] = 0  # biases are free

        def objective(points: Tensor) -> tuple[Tensor, Tensor]:
            logits = self.logits(points)
            values = (shares.abs() * self.losses(logits)).sum(0) + (pull * points**2).sum(0) / 2
            return values, self._back(-shares * torch.sigmoid(-self.signs * logits)) + pull * points

        return minimise(objective, start, tolerance)

    def rescoring(self, points: Tensor, prior: LinearRescoring) -> LinearRescoring:
        """The prior with a point added, for features as they were given."""
        own, image, bias = self._split(points)
        own, image = own / self.own_spread, image / self.image_spread
        bias = bias - (own * self.own_mean).sum(1) - (image * self.image_mean).sum(1)
        changes = (each.to(prior.bias) for each in (own, image, bias))
        return LinearRescoring(
            *(old + new for old, new in zip((prior.own, prior.image, prior.bias), changes, strict=True))
        )

    def _split(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (C, D) and (C, K) and biases (C,) of a point."""
        own, image, bias = points.T.split([self.own.shape[-1], self.image.shape[1], 1], dim=1)
        return own, image, bias[:, 0]

    def _back(self, residuals: Tensor) -> Tensor:
        """The gradient (D + K + 1, C) at a point of what has the gradients (M, C) at its logits."""
        if self.own.ndim == 2:
            own = self.own.T @ residuals
        else:
            own = torch.einsum("ncd,nc->dc", self.own, residuals)
        of_images = residuals.new_zeros(len(self.image), residuals.shape[1]).index_add_(0, self.groups, residuals)
        return torch.cat([own, self.image.T @ of_images, residuals.sum(0, keepdim=True)])


def _standardise(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features with mean 0 and variance 1 over the rows, their means and their standard deviations (1 for 0)."""
    count = max(len(features), 1)
    mean = features.sum(0) / count
    centred = features - mean
    spread = (centred.square().sum(0) / count).sqrt()
    spread = torch.where(spread > 0, spread, 1)
    return centred / spread, mean, spread
