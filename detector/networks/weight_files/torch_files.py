"""Files of torch.save: written whole or not at all, and read without running any code in them."""

import io
import warnings
from pathlib import Path
from typing import Any

import torch

from detector.errors import DataError
from detector.files import require_file, write_bytes


def save_torch(path: Path, value: Any) -> None:
    """Write tensors and plain values; a failure of the disk is a DataError, and what stood at `path` is kept."""
    content = io.BytesIO()  # torch has its own words for a full disk, which nobody would take for one
    torch.save(value, content)
    write_bytes(path, content.getbuffer())


def load_torch(path: Path, what: str) -> Any:
    """The value in a file of torch.save, on the CPU; DataError calls the file `what`.

    It may hold tensors and plain values: a module, or any other object, is refused and not made.
    """
    require_file(path, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats of old
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file can fail with anything, and torch's words tell how to read it unsafely
        reason = "it is damaged, or holds more than tensors and plain values"
        raise DataError(f"{what} must be a readable state dict, got {path} ({reason})") from None
