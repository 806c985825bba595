"""Reads `.caffemodel` files without Caffe: one protobuf message, NetParameter of caffe.proto (BVLC/caffe).

Wire format: protobuf.dev/programming-guides/encoding. Fields that hold no weights are skipped by their wire type.
"""

import math
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import torch
from torch import Tensor

from detector.errors import DataError
from detector.files import read_bytes

LAYERS = {100: (1, 7), 2: (4, 6)}  # LayerParameter, V1LayerParameter: fields of the name and of the blobs
KINDS = ("weight", "bias")  # what blobs 0 and 1 of a layer are
MAX_AXES = 32  # Caffe's kMaxBlobAxes
MAX_VARINT = 10  # bytes


class Wire(IntEnum):
    """How long a field is; the two others, groups, are unknown to caffe.proto."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


def read_caffemodel(path: Path) -> dict[str, Tensor]:
    """The float32 arrays `LAYER.weight` and `LAYER.bias` of the Caffe model at `path`, in the order of its layers.

    The shapes are the natural ones: (out, in, ky, kx), (out, in) or (n,), also where old Caffe stored four sizes.
    A file cut between two layers is a whole file with fewer layers: protobuf cannot tell them apart.
    """
    content = read_bytes(path, "weights")
    try:
        return _read_net(memoryview(content))
    except ValueError as error:
        raise DataError(f"weights must be a readable caffemodel, got {path} ({error})") from None


def _read_net(net: memoryview) -> dict[str, Tensor]:
    """The arrays of a NetParameter; here and below ValueError says what is wrong with the bytes."""
    arrays: dict[str, Tensor] = {}
    for number, wire, content in _fields(net):
        if number in LAYERS and wire == Wire.BYTES:
            layer = _read_layer(content, *LAYERS[number])
            twice = arrays.keys() & layer.keys()
            if twice:
                raise ValueError(f"two layers have {min(twice)!r}")
            arrays |= layer
    if not arrays:
        raise ValueError("no layer has weights")
    return arrays


def _read_layer(layer: memoryview, name_field: int, blobs_field: int) -> dict[str, Tensor]:
    """The arrays of a layer of either version, none where it has nothing to learn."""
    name = ""
    blobs: list[memoryview] = []
    try:
        for number, wire, content in _fields(layer):
            if (number, wire) == (name_field, Wire.BYTES):
                name = str(content, "utf-8")
            elif (number, wire) == (blobs_field, Wire.BYTES):
                if len(blobs) == len(KINDS):
                    raise ValueError("more blobs than weight and bias")
                blobs.append(content)
        return {f"{name}.{kind}": _read_blob(blob, kind) for kind, blob in zip(KINDS, blobs, strict=False)}
    except ValueError as error:
        raise ValueError(f"layer {name!r}: {error}") from None


def _read_blob(blob: memoryview, kind: str) -> Tensor:
    """The array of a BlobProto. As in Caffe, doubles go before floats and the four old sizes before `shape`."""
    floats, doubles = bytearray(), bytearray()
    old_sizes: dict[int, int] = {}
    sizes: list[int] = []
    for number, wire, content in _fields(blob):
        match number, wire:
            case ((1 | 2 | 3 | 4), Wire.VARINT):
                old_sizes[number], _ = _varint(content, 0)
            case 5, (Wire.BYTES | Wire.FIXED32):
                floats += content
            case 7, Wire.BYTES if len(sizes) <= MAX_AXES:
                sizes += _read_shape(content)
            case 8, (Wire.BYTES | Wire.FIXED64):
                doubles += content
    values = _numbers(doubles, torch.float64) if doubles else _numbers(floats, torch.float32)
    stored = [old_sizes.get(axis, 0) for axis in range(1, 5)] if old_sizes else sizes
    if len(stored) > MAX_AXES:
        raise ValueError(f"{kind} has more than {MAX_AXES} axes")
    if math.prod(stored) != len(values) or not len(values):
        raise ValueError(f"{kind} has {len(values)} values for the shape {tuple(stored)}")
    return values.float().reshape(_natural(stored, kind) if old_sizes else stored)


def _natural(old_sizes: list[int], kind: str) -> list[int]:
    """The shape of what old Caffe stored as (1, 1, 1, n), (1, 1, out, in) or (out, in, ky, kx)."""
    padding = 3 if kind == "bias" else 2
    return old_sizes[padding:] if old_sizes[:padding] == [1] * padding else old_sizes


def _read_shape(shape: memoryview) -> list[int]:
    """The sizes of a BlobShape, packed or one a field; of too many, only a few too many."""
    sizes: list[int] = []
    for number, wire, content in _fields(shape):
        if number == 1 and wire in (Wire.BYTES, Wire.VARINT):
            position = 0
            while position < len(content) and len(sizes) <= MAX_AXES:
                size, position = _varint(content, position)
                sizes.append(size)
    return sizes


def _numbers(content: bytearray, dtype: torch.dtype) -> Tensor:
    if len(content) % dtype.itemsize:
        raise ValueError(f"{len(content)} bytes are no whole number of {dtype} values")
    return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Number, wire type and content of each field; one packed field and one single value look alike."""
    position = 0
    while position < len(message):
        tag, start = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        match wire:
            case Wire.VARINT:
                _, end = _varint(message, start)
            case Wire.FIXED64:
                end = start + 8
            case Wire.BYTES:
                length, start = _varint(message, start)
                end = start + length
            case Wire.FIXED32:
                end = start + 4
            case _:
                raise ValueError(f"field {number} has the unknown wire type {wire}")
        if number == 0:
            raise ValueError("a field has the number 0")
        if end > len(message):
            raise ValueError(f"field {number} ends {end - len(message)} bytes after its message")
        yield number, wire, message[start:end]
        position = end


def _varint(message: memoryview, start: int) -> tuple[int, int]:
    """The number at `start`, seven bits a byte, lowest first, and the position after it."""
    value = 0
    for index, byte in enumerate(message[start : start + MAX_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, start + index + 1
    raise ValueError("a number has no end")
