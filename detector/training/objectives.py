"""What is minimised: losses and, beside them, the shares of right answers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.networks.multi_task import OFFSET_STD
from detector.networks.transfers import constant
from detector.records import BACKGROUND, FIRST_LABEL
from detector.training.batch import RegionBatch
from detector.training.image_batches import ImageBatch
from detector.training.shared_batches import SharedBatch

Loss = tuple[Tensor, dict[str, Tensor]]  # the loss, and numbers to log


@dataclass(frozen=True)
class RegionObjective:
    """Cross entropy over classes and background (arXiv 1311.2524, section 2.3)."""

    label_smoothing: float = 0.0

    def __call__(self, network: nn.Module, batch: RegionBatch | SharedBatch) -> Loss:
        """The loss, and the shares of object and of background regions that were right."""
        return _classified(network(batch.crops).float(), batch.labels, self.label_smoothing)


@dataclass(frozen=True)
class MultiTaskObjective:
    """The same, and `box_weight` times the smooth L1 loss of the offsets of a region's own class.

    Fast R-CNN (arXiv 1504.08083, section 2.3): offsets in units of `OFFSET_STD`; their losses are summed, and
    divided by the number of all regions of the batch, so that boxes count by how many regions have one.
    """

    label_smoothing: float = 0.0
    box_weight: float = 1.0

    def __call__(self, network: nn.Module, batch: RegionBatch | SharedBatch) -> Loss:
        """The loss of a `MultiTaskClassifier`, the shares of right regions, and the loss of the boxes."""
        logits, offsets = network(batch.crops)
        loss, numbers = _classified(logits.float(), batch.labels, self.label_smoothing)
        column = (batch.labels - FIRST_LABEL).clamp(min=0)[:, None, None].expand(-1, 1, 4)
        wanted = batch.targets / constant(OFFSET_STD, batch.targets.device)
        known = wanted.isfinite()
        apart = functional.smooth_l1_loss(
            offsets.take_along_dim(column, 1)[:, 0], wanted.nan_to_num(), reduction="none"
        )
        box_loss = (apart * known).sum() / len(batch.labels)
        return loss + self.box_weight * box_loss, numbers | {"box_loss": box_loss}


def _classified(logits: Tensor, labels: Tensor, label_smoothing: float) -> Loss:
    """Cross entropy, and the shares of object and of background regions that were right."""
    loss = functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    right = (logits.argmax(1) == labels).float()
    background = labels == BACKGROUND
    return loss, {
        "object_accuracy": _mean_where(~background, right),
        "background_accuracy": _mean_where(background, right),
    }


def _mean_where(mask: Tensor, values: Tensor) -> Tensor:
    """The mean of the values where the mask is true, NaN where it never is; no number leaves the device."""
    return (values * mask).sum() / mask.sum()


@dataclass(frozen=True)
class ImageObjective:
    """Cross entropy, with that of the auxiliary heads times `auxiliary` added (arXiv 1409.4842, section 5)."""

    label_smoothing: float = 0.0
    auxiliary: float = 0.3

    def __call__(self, network: nn.Module, batch: ImageBatch) -> Loss:
        """The loss of a network that gives logits (B, C), or (1 + heads, B, C), and the share of right answers."""
        logits = network(batch.crops).float()
        if logits.ndim == 2:
            logits = logits[None]
        losses = torch.stack([self._loss(each, batch.labels) for each in logits])
        right = (logits[0].argmax(1) == batch.labels).float()
        return losses[0] + self.auxiliary * losses[1:].sum(), {"main_loss": losses[0], "top1": right.mean()}

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


@dataclass(frozen=True)
class ObjectObjective:
    """Cross entropy over the classes alone, of batches without background: the label 1 is the first output."""

    label_smoothing: float = 0.0

    def __call__(self, network: nn.Module, batch: RegionBatch | SharedBatch) -> Loss:
        """The loss of a network with C outputs, and the share of right answers."""
        logits = network(batch.crops).float()
        column = batch.labels - FIRST_LABEL
        loss = functional.cross_entropy(logits, column, label_smoothing=self.label_smoothing)
        return loss, {"accuracy": (logits.argmax(1) == column).float().mean()}
