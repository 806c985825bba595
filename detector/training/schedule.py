"""The learning rate over the steps of a training."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up over `warmup` steps, then falls by `step_factor` every `step_size`, or half a cosine."""

    kind: Literal["step", "cosine"]
    steps: int
    step_size: int
    step_factor: float
    warmup: int = 0

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied with at `step`, from 0."""
        warmup = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        match self.kind:
            case "step":
                return warmup * self.step_factor ** (step // self.step_size)
            case "cosine":
                return warmup * 0.5 * (1 + math.cos(math.pi * step / self.steps))
