"""Tensors in safetensors files, their header stating a hash and facts about them.

The package is loaded when such a file is: networks that are made without one need torch alone.
"""

import ctypes
import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from detector.errors import ConfigError, DataError
from detector.files import write_atomically

METADATA = "detector"  # one key: safetensors keeps no order among several, and equal models are equal files


def write_tensors(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write `state` with its hash and `facts` (JSON values), whole or not at all."""
    plain = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    package = _package("safetensors.torch")
    with write_atomically(path) as temporary:
        package.save_file(plain, temporary, {METADATA: json.dumps({"hash": state_hash(plain), **facts})})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the facts of `path`; DataError where it is unreadable or its hash is not its values'."""
    package = _package("safetensors")
    try:
        with package.safe_open(path, "pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            facts = json.loads((file.metadata() or {}).get(METADATA, "{}"))
    except (OSError, package.SafetensorError, ValueError) as error:
        raise DataError(f"weights must be a readable safetensors file, got {path} ({error})") from None
    facts = facts if isinstance(facts, dict) else {}
    found = state_hash(state)
    if facts.get("hash", found) != found:
        raise DataError(f"weights must have the hash {facts['hash']} of their metadata, got {found} ({path})")
    return state, facts


def state_hash(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of names, types, shapes and values: equal for equal weights, whatever file they come from."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update((ctypes.c_ubyte * value.nbytes).from_address(value.data_ptr()))  # numpy may be absent
    return digest.hexdigest()


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f".safetensors files must have the package safetensors, got '{error}'; repair: pip install safetensors"
        ) from None
