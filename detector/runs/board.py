"""Scalars of a training for TensorBoard, where `log.tensorboard` asks for them."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from detector.config import LogSettings
from detector.errors import ConfigError


class Board:
    """The scalars of one training, in a folder of its own; there is a file once it has begun."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def begin(self, step: int) -> None:
        """Go on after `step`; scalars of later steps, which a killed run left in the folder, are dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1)

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write each number under its name; whoever looks sees it at once."""
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def check_tensorboard(settings: LogSettings) -> None:
    """Raise ConfigError where scalars are asked for and TensorBoard is not installed."""
    if settings.tensorboard and find_spec("tensorboard") is None:
        raise ConfigError(
            "log.tensorboard must be false where TensorBoard is not installed, got true; repair: "
            "pip install 'googlenet-detector[tensorboard]'"
        )


def make_board(settings: LogSettings, run: Path, training: str) -> Board | None:
    """The board of a training, in the folder `run`/tensorboard/`training`; None where none is asked for."""
    return Board(run / "tensorboard" / training) if settings.tensorboard else None
