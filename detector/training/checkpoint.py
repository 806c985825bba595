"""Trainer state on disk: a plain dict of tensors and numbers, read without running any code in it."""

from pathlib import Path
from typing import Any

from detector.errors import DataError
from detector.networks.weight_files.torch_files import load_torch, save_torch
from detector.text import shown


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, whole or not at all; what stood at `path` before is kept until then."""
    save_torch(path, state)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state at `path` on the CPU, None where there is no file; DataError where it cannot be read."""
    if not path.exists():
        return None
    state = load_torch(path, "checkpoint")
    if not isinstance(state, dict):
        raise DataError(f"checkpoint must be a trainer's state, got {shown(state)} ({path})")
    return state
