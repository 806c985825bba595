"""Tensors in safetensors files, their header stating a hash and facts about them.

The package is loaded when such a file is: networks that are made without one need torch alone.
"""

import ctypes
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from detector.errors import ConfigError, DataError
from detector.files import parse_json, require_file, write_bytes
from detector.networks.weight_files.states import not_finite
from detector.text import one_line, shown

Value = TypeVar("Value")
METADATA = "detector"  # one key: safetensors keeps no order among several, and equal models are equal files


def write_tensors(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write `state` with its hash and `facts` (JSON values), whole or not at all.

    DataError for NaN or infinity: nothing that is made of it could be told from a fault of its own.
    """
    plain = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    wrong = not_finite(plain)
    if wrong is not None:
        raise DataError(f"weights of {wrong} must be finite to be saved, got NaN or infinity ({path})")
    package = _package("safetensors.torch")
    # in memory first: the package's own writer has its own temporary file, and its own words for a full disk
    write_bytes(path, package.save(plain, {METADATA: json.dumps({"hash": state_hash(plain), **facts})}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the facts of `path`; DataError where it is unreadable or its hash is not its values'."""
    state, facts = _read(path, lambda file, key: file.get_tensor(key))
    found = state_hash(state)
    if facts.get("hash", found) != found:
        stated = one_line(str(facts["hash"]), len(found))
        raise DataError(f"weights must have the hash {stated} of their metadata, got {found} ({path})")
    return state, facts


def read_header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The tensors' shapes and the facts of `path`, without the tensors; DataError where it is unreadable."""
    return _read(path, lambda file, key: tuple(file.get_slice(key).get_shape()))


def _read(path: Path, get: Callable[[Any, str], Value]) -> tuple[dict[str, Value], dict[str, Any]]:
    """What `get` takes of each tensor of a file, and the file's facts."""
    require_file(path, "weights")
    package = _package("safetensors")
    try:
        with package.safe_open(path, "pt") as file:
            found = {key: get(file, key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            text = (file.metadata() or {}).get(METADATA, "{}")
    except Exception as error:  # a damaged header can bring types and sizes that torch has errors of its own for
        raise DataError(f"weights must be a readable safetensors file, got {path} ({error})") from None
    facts = parse_json(text, "metadata of weights", str(path))
    if not isinstance(facts, dict):
        raise DataError(f"metadata of weights must be an object, got {shown(facts)} ({path})")
    return found, facts


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
