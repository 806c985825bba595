"""What is minimised: losses and, beside them, the shares of right answers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

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
        logits = network(batch.crops).float()
        loss = functional.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        right = (logits.argmax(1) == batch.labels).float()
        background = batch.labels == BACKGROUND
        return loss, {
            "object_accuracy": right[~background].mean(),
            "background_accuracy": right[background].mean(),
        }


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
