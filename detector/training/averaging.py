"""Averages of a network's weights over its steps, taken where the weights are, without a wait for the device.

torch's `AveragedModel` holds them. Its own `update_parameters` sends its counter to the device at each step, and
waits for that; parameters and float buffers come out the same. Whole numbers, the counters of batch norm, are the
last network's here, not a rounded mean.
"""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from detector.config import TrainingSettings


class WeightAverage:
    """The average of a network's parameters and buffers: a moving one ("ema"), or their plain mean ("polyak")."""

    def __init__(self, network: nn.Module, settings: TrainingSettings) -> None:
        self.decay = settings.average_decay if settings.average == "ema" else None
        self.model = AveragedModel(network, use_buffers=True)

    @property
    def count(self) -> int:
        """How many steps are in it."""
        return int(self.model.n_averaged)  # it stays on the CPU

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the weights of one more step in."""
        pairs = list(zip(_tensors(self.model.module), _tensors(network), strict=True))
        count = self.count
        mixed = [pair for pair in pairs if count and pair[0].is_floating_point()]
        if mixed:
            averages, others = map(list, zip(*mixed, strict=True))
            self._mix(averages, others, count)
        for average, current in pairs:
            if not (count and average.is_floating_point()):
                average.copy_(current)
        self.model.n_averaged += 1

    def _mix(self, averages: list[Tensor], current: list[Tensor], count: int) -> None:
        if self.decay is not None:
            torch._foreach_lerp_(averages, current, 1 - self.decay)
            return
        shares = torch._foreach_sub(current, averages)
        torch._foreach_div_(shares, count + 1)
        torch._foreach_add_(averages, shares)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [each.detach() for each in (*network.parameters(), *network.buffers())]
