"""Reads `.npz` files, in which Caffe's weights are passed on: arrays of numbers, and nothing that runs code."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detector.errors import DataError
from detector.files import read_bytes

MOST_BYTES = 1 << 30  # of all arrays together: twenty times GoogLeNet's
SUFFIX = ".npy"  # of an array's name in the archive


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of floats in an .npz file, by name; DataError names the array that is something else."""
    content = read_bytes(path, "weights")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(SUFFIX) for member in members]
            if len(set(names)) < len(names):
                raise DataError(f"weights must hold each array once, got one of them twice ({path})")
            if sum(member.file_size for member in members) > MOST_BYTES:
                raise DataError(f"weights must be of at most {MOST_BYTES:,} bytes, got more ({path})")
            return {
                name: _read_array(archive, member, f"{name} ({path})")
                for name, member in zip(names, members, strict=True)
            }
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise DataError(f"weights must be a readable .npz file, got {path} ({error})") from None


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> Tensor:
    import numpy as np  # here: weights of other families are read without it

    try:
        array: Any = np.lib.format.read_array(io.BytesIO(archive.read(member)), allow_pickle=False)
    except Exception:  # numpy's own words say how to read a file unsafely
        raise DataError(f"array must be a whole one of numbers, got a damaged one or objects: {where}") from None
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise DataError(f"array must be of float16, float32 or float64, got {array.dtype}: {where}")
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
