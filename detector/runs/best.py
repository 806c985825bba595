"""Keeping the best weights of a training, judged on data that it does not train on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from detector.errors import DataError
from detector.training.checkpoint import load_checkpoint, save_checkpoint
from detector.training.loop import Batch, Net, Trainer

SIGN = {"loss": -1, "accuracy": 1}


@dataclass
class Best:
    """The weights with the best `metric`, at `path` with their step; of equal ones the earliest.

    measure(network) gives the numbers of the network's weights, always of the same data; `every` is in steps, and
    `log` notes them.
    """

    metric: Literal["loss", "accuracy"]
    every: int
    path: Path
    log: Callable[..., None]
    measure: Callable[[nn.Module], dict[str, float]]

    def consider(self, trainer: Trainer[Net, Batch]) -> dict[str, float]:
        """Every `every` steps and at the last, measure the weights and keep the best; the numbers, else {}."""
        if trainer.step % self.every and trainer.step != trainer.schedule.steps:
            return {}
        trainer.check()
        network = trainer.tested_network()
        was_training = network.training
        found = self.measure(network.eval())
        network.train(was_training)
        self.log("judged", step=trainer.step, **found)
        kept = self._kept()
        if kept is None or SIGN[self.metric] * (found[self.metric] - kept["value"]) > 0:
            state = {"step": trainer.step, "value": found[self.metric], "network": network.state_dict()}
            save_checkpoint(self.path, state)
        return found

    def load(self, network: nn.Module) -> dict[str, Any]:
        """Load the best weights into `network`; their step and value."""
        kept = self._kept()
        if kept is None:
            return {}
        try:
            network.load_state_dict(kept["network"])
        except (AttributeError, RuntimeError, TypeError):
            raise self._wrong("those of another network") from None
        return {"best_step": kept["step"], f"best_{self.metric}": kept["value"]}

    def check(self, trainer: Trainer[Net, Batch]) -> None:
        """Raise DataError where a training that goes on has lost its best weights, or where they are damaged."""
        if self._kept() is None and trainer.step >= min(self.every, trainer.schedule.steps):
            raise self._wrong("none")

    def _kept(self) -> dict[str, Any] | None:
        """The best weights so far, None where none were judged."""
        try:
            kept = load_checkpoint(self.path)
        except DataError as error:
            raise self._wrong(str(error)) from None
        if kept is None:
            return None
        match kept:
            case {"step": int(), "value": float(), "network": dict()}:
                return kept
        raise self._wrong("something else")

    def _wrong(self, got: str) -> DataError:
        return DataError(
            f"best weights must be those that this training kept, got {got} ({self.path}); without its folder the "
            "training begins anew"
        )
