"""The files of a store: its manifest, its arrays, and the parts it is made of; read with every doubt.

A file that no writer of stores wrote, or that was cut, is a DataError that names it, or a ValueError in a part.
"""

import math
import os
import re
import warnings
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeGuard

import numpy as np
from numpy.lib import format as npy

from detector.errors import DataError
from detector.files import read_json, require_file, write_atomically
from detector.records import Array
from detector.runs.journal import Fields
from detector.text import shown

MANIFEST = "manifest.json"
OFFSETS = "offsets"
DTYPE = re.compile(r"[<>|][biuf][1248]")  # numbers; objects would run code

ArrayHeader = tuple[tuple[int, ...], bool, np.dtype[Any]]  # shape, Fortran's order, type


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says of a store."""

    key: str
    count: int
    rows: int
    fields: Fields

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """That of the store in `folder`; DataError where there is none, or one that no writer wrote."""
        path = folder / MANIFEST
        if not path.exists():
            raise DataError(f"store must be finished, got one that is missing or half written ({folder})")
        tree = read_json(path, "manifest of a store")
        found = tree if isinstance(tree, dict) else {}
        for name, is_right, wanted in (
            ("key", lambda value: isinstance(value, str), "text"),
            ("count", _is_count, "a whole number from 0"),
            ("rows", _is_count, "a whole number from 0"),
            ("fields", lambda value: isinstance(value, dict), "an object"),
        ):
            if not is_right(found.get(name)):
                got = shown(found[name]) if name in found else "none"
                raise DataError(f"{name} of a store's manifest must be {wanted}, got {got} ({path})")
        fields = {name: _parse_field(name, value, path) for name, value in found["fields"].items()}
        return Manifest(found["key"], found["count"], found["rows"], fields)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parse_field(name: str, value: object, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """A field's dtype and shape of a row, as a manifest states them."""
    match value:
        case [str(dtype), [*tail]] if name.isidentifier() and DTYPE.fullmatch(dtype):
            shape = tuple(side for side in tail if _is_count(side))
            with suppress(TypeError):  # a float of one byte
                if len(shape) == len(tail):
                    return np.dtype(dtype), shape
    raise DataError(
        f'field of a store\'s manifest must be a name with a type of numbers and a shape, such as ["<f4", [4]], '
        f"got {shown(value)} for {shown(name)} ({path})"
    )


def layout_text(fields: Fields) -> dict[str, str]:
    """The fields in words."""
    return {name: f"{dtype}(rows{''.join(f', {n}' for n in tail)})" for name, (dtype, tail) in fields.items()}


def holds_json(path: Path, value: object) -> bool:
    """Whether the JSON file `path` is there, whole, and holds `value`."""
    try:
        return bool(read_json(path, "plan of a store") == value)
    except DataError:
        return False


def _read_header(file: IO[bytes]) -> ArrayHeader:
    """The header of a .npy file; ValueError for a damaged one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if npy.read_magic(file) == (1, 0):
                return npy.read_array_header_1_0(file)
    except Exception as error:  # whatever a damaged header makes its reader stumble over
        raise ValueError(str(error)) from None
    raise ValueError("another version of .npy")


def read_part(part: zipfile.ZipFile) -> tuple[Array, dict[str, ArrayHeader]]:
    """The counts of rows in a part, and the headers of its other arrays, whose sizes are right; or ValueError."""
    headers: dict[str, ArrayHeader] = {}
    for member in part.infolist():
        with part.open(member) as file:
            shape, _, dtype = header = _read_header(file)
            headers[member.filename.removesuffix(".npy")] = header
            if member.file_size != file.tell() + math.prod(shape) * dtype.itemsize:
                raise ValueError("an array is cut")
    with part.open(f"{OFFSETS}.npy") as file:
        counts = npy.read_array(file, allow_pickle=False)
    if headers.pop(OFFSETS) != ((len(counts),), False, np.dtype(np.int64)):
        raise ValueError("counts must be whole numbers")
    return counts, headers


def map_array(folder: Path, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """The array in the file of the field `name`, memory-mapped; DataError unless it has this type and shape."""
    path = require_file(folder / f"{name}.npy", "array of a store")
    try:
        with path.open("rb") as file:
            found = _read_header(file)
            start, size = file.tell(), os.fstat(file.fileno()).st_size
        if found != (shape, False, dtype):
            raise DataError(f"array of a store must be {dtype}{shape}, got {found[2]}{found[0]} ({path})")
        wanted = start + math.prod(shape) * dtype.itemsize
        if size != wanted:
            raise DataError(f"array of a store must have {wanted} bytes, got {size} ({path})")
        if 0 in shape:  # nothing cannot be mapped
            return np.empty(shape, dtype)
        return np.asarray(np.memmap(path, dtype, "r", start, shape))  # a plain view: np.memmap is slow to slice
    except (OSError, ValueError) as error:
        raise DataError(f"array of a store must be a whole .npy file, got {path} ({error})") from None


def write_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], pieces: Iterable[Array]) -> None:
    """Write `pieces`, one after another, as the .npy file of one array."""
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        npy.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(piece.tobytes())
