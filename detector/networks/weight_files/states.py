"""Tensors by name, as a network's state is: what files may bring, made sure of before a network sees it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from detector.errors import DataError
from detector.text import shown

BATCHES = "num_batches_tracked"  # of batch norm: a counter, the one thing in a state that is no float
VARIANCE = "running_var"
FLOATS = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
)


def checked_state(given: object, path: Path) -> dict[str, Tensor]:
    """What a file of weights brought, as float32 tensors by name; counters of batches are int64.

    Floats of other widths, `FLOATS`, are converted. DataError names the entry that is no tensor, that is sparse,
    quantised, of other numbers or without its values, or that holds NaN or infinity, or variances below 0.
    """
    if not isinstance(given, Mapping):
        raise DataError(f"weights must be a state dict of tensors, got {shown(given)} ({path})")
    return {_checked_name(key, path): _checked(str(key), value, path) for key, value in given.items()}


def not_finite(state: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity; None where none does."""
    return next((key for key, value in state.items() if not value.isfinite().all()), None)


def _checked_name(key: object, path: Path) -> str:
    if not isinstance(key, str):
        raise DataError(f"weights must be a state dict of tensors by name, got the key {shown(key)} ({path})")
    return key


def _checked(key: str, value: object, path: Path) -> Tensor:
    if not isinstance(value, Tensor):
        raise DataError(f"weights must be a state dict of tensors, got {shown(value)} as {key} ({path})")
    wanted = (torch.int64,) if key.endswith(BATCHES) else FLOATS
    if value.dtype not in wanted:
        names = ", ".join(_name(dtype) for dtype in wanted)
        raise DataError(f"weights of {key} must be numbers of {names}, got {_name(value.dtype)} ({path})")
    if not _is_whole(value):
        raise DataError(f"weights of {key} must be a dense tensor with all of its values, got none ({path})")
    plain = value.detach() if key.endswith(BATCHES) else value.detach().float()
    if not plain.isfinite().all():
        raise DataError(f"weights of {key} must be finite, got NaN or infinity ({path})")
    if key.endswith(VARIANCE) and plain.numel() and plain.min() < 0:
        raise DataError(f"weights of {key} must be at least 0, got {plain.min().item():g} ({path})")
    return plain


def _is_whole(value: Tensor) -> bool:
    """Whether the values lie in memory one by one; a view may pretend to be as large as it likes."""
    is_dense = value.layout == torch.strided and not value.is_quantized and value.device.type == "cpu"
    return is_dense and value.untyped_storage().nbytes() >= value.numel() * value.itemsize


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
