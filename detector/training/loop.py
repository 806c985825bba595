"""The training loop: gradient descent on batches of regions, resumable at any step."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from detector.config import FinetuneSettings
from detector.errors import DataError
from detector.networks.region_classifier import RegionClassifier
from detector.records import BACKGROUND
from detector.training.batch import RegionBatch


@dataclass(frozen=True)
class StepResult:
    """What one step did: its loss, and the share of object and of background regions that were right."""

    step: int
    loss: float
    object_accuracy: float
    background_accuracy: float
    learning_rate: float


class Trainer:
    """Network, optimiser and averaged weights; `step` is the number of steps done."""

    def __init__(
        self,
        network: RegionClassifier,
        settings: FinetuneSettings,
        seed: int,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.settings = settings
        self.seed = seed
        self.device = device
        self.precision = precision
        self.step = 0
        self.optimizer = _make_optimizer(self.network, settings)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
        self.average: AveragedModel | None = None
        if settings.average_decay:
            averaging = get_ema_multi_avg_fn(settings.average_decay)
            self.average = AveragedModel(self.network, multi_avg_fn=averaging, use_buffers=True)

    def train(self, batches: Iterable[RegionBatch]) -> Iterator[StepResult]:
        """One step a batch; the batches must begin at `self.step`. A loss that is not finite raises DataError."""
        for batch in batches:
            result = self._train_step(batch)
            self.step += 1
            yield result

    def tested_network(self) -> RegionClassifier:
        """The network whose weights are tested: the moving average where there is one."""
        return self.network if self.average is None else cast(RegionClassifier, self.average.module)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, as plain values and tensors."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` returned."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _train_step(self, batch: RegionBatch) -> StepResult:
        # dropout draws from the global generator: seeded by step, so that a resumed run draws the same
        torch.manual_seed(self.seed * 1_000_003 + batch.step)
        factor = schedule_factor(self.settings, batch.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_rate"] * factor
        mixed = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision if mixed else torch.bfloat16, enabled=mixed):
            logits = self.network(batch.crops).float()
        loss = functional.cross_entropy(logits, batch.labels, label_smoothing=self.settings.label_smoothing)
        value = loss.item()
        if not math.isfinite(value):
            raise DataError(
                f"loss must be finite, got {value} at step {batch.step}"
                f" (finetune.learning_rate is {self.settings.learning_rate:g})"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return StepResult(
            batch.step, value, *_accuracies(logits, batch.labels), self.settings.learning_rate * factor
        )


def _make_optimizer(network: RegionClassifier, settings: FinetuneSettings) -> torch.optim.Optimizer:
    groups = parameter_groups(network, settings)
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
        case "adamw":
            return torch.optim.AdamW(groups, lr=settings.learning_rate)


def parameter_groups(network: RegionClassifier, settings: FinetuneSettings) -> list[dict[str, Any]]:
    """Four groups: backbone and classifier, the latter at `head_factor` times the rate; biases without decay."""
    groups = []
    parts = ((network.backbone, 1.0), (network.classifier, settings.head_factor))
    for part, factor in parts:
        for decay, is_matrix in ((settings.weight_decay, True), (0.0, False)):
            chosen = [p for p in part.parameters() if (p.ndim > 1) == is_matrix]
            rate = settings.learning_rate * factor
            groups.append({"params": chosen, "weight_decay": decay, "base_rate": rate})
    return groups


def schedule_factor(settings: FinetuneSettings, step: int) -> float:
    """What the learning rate is multiplied with at `step`: warm-up, then steps of a tenth or half a cosine."""
    warmup = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    match settings.schedule:
        case "step":
            return warmup * 0.1 ** (step // settings.step_size)
        case "cosine":
            return warmup * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _accuracies(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    right = (logits.argmax(1) == labels).float()
    background = labels == BACKGROUND
    return right[~background].mean().item(), right[background].mean().item()
