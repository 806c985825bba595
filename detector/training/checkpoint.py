"""Trainer state on disk: a plain dict of tensors and numbers, read without running any code in it."""

from pathlib import Path
from typing import Any

import torch

from detector.errors import DataError
from detector.files import write_atomically


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, whole or not at all; what stood at `path` before is kept until then."""
    with write_atomically(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state at `path` on the CPU, None where there is no file; DataError where it cannot be read."""
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in the unpickler, with anything
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"checkpoint must be a readable trainer state, got {path} ({reason})") from None
