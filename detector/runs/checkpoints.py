"""The checkpoint of a training stage: the states of the trainer and its log, and the training's key."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from detector.errors import DataError
from detector.training.checkpoint import load_checkpoint, save_checkpoint
from detector.training.loop import Batch, Net, Trainer

REMEDY = "without this file the training begins anew"  # which nobody but the user may decide


class Log(Protocol):
    """What a training notes of its steps."""

    def state(self) -> dict[str, Any]:
        """Plain values, that a checkpoint can hold."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` returned."""


@dataclass(frozen=True)
class Checkpoint:
    """The file at `path`, of the training with this `key`."""

    path: Path
    key: str

    def save(self, trainer: Trainer[Net, Batch], log: Log) -> None:
        """Write what the next step, and the next row of the log, depend on."""
        save_checkpoint(self.path, {**trainer.state(), "log": log.state(), "key": self.key})

    def load(self, trainer: Trainer[Net, Batch], log: Log) -> None:
        """Bring both to where they were saved, if there is a file.

        DataError for one that is damaged or of another training.
        """
        try:
            state = load_checkpoint(self.path)
        except DataError as error:
            raise DataError(f"{error}; {REMEDY}") from None
        if state is None:
            return
        try:
            if state.get("key", self.key) != self.key:  # files of older versions have neither this nor the log
                raise ValueError("it is of other settings or data")
            trainer.load(state)
            if "log" in state:
                log.load(state["log"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"checkpoint must be of this training, got {self.path} ({reason}); {REMEDY}") from None
