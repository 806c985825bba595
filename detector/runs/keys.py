"""Keys: one short hash of all that a result depends on. The contents of files count, their paths do not."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import Section
from detector.files import file_hash
from detector.records import Array
from detector.runs.store import Store

LENGTH = 16  # hexadecimal digits


def key_of(reads: Mapping[str, Any]) -> str:
    """A short hash of what is read, the same for equal contents in any order."""
    text = json.dumps(plain(reads), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def plain(value: Any) -> Any:
    """`value` as JSON: sections by their settings, files by their bytes, stores by their keys, arrays hashed."""
    match value:
        case Path():
            return file_hash(value)
        case Store():
            return value.key
        case np.ndarray():
            return array_hash(value)
        case Section():
            return {name: plain(getattr(value, name)) for name in type(value).model_fields}
        case Mapping():
            return {str(name): plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
    return value


def array_hash(*arrays: Array) -> str:
    """A short hash of the types, shapes and values of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:LENGTH]
