"""Writes Caffe models, old and new, for comparison with what is read from them."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from detector.records import Array

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have their top bit set."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, wire: int, content: bytes) -> bytes:
    """One field; `content` of a message, text or packed numbers gets its length before it."""
    length = varint(len(content)) if wire == BYTES else b""
    return varint(number << 3 | wire) + length + content


@dataclass(frozen=True)
class Layout:
    """How a Caffe model is written: V1 or V2 layers, one field an array or a value, four sizes or a shape."""

    version: int = 2
    packed: bool = True
    old_sizes: bool = False
    doubles: bool = False

    def shape(self, array: Array) -> bytes:
        """The sizes of `array`, in the order in which protobuf writes them: by field number."""
        if self.old_sizes:
            four = (1,) * (4 - array.ndim) + array.shape
            return b"".join(field(axis, VARINT, varint(size)) for axis, size in enumerate(four, 1))
        sizes = [varint(size) for size in array.shape]
        if self.packed:
            return field(7, BYTES, field(1, BYTES, b"".join(sizes)))
        return field(7, BYTES, b"".join(field(1, VARINT, size) for size in sizes))

    def values(self, array: Array) -> bytes:
        """The numbers of `array` as `data` or `double_data`."""
        number, wire, dtype = (8, FIXED64, "<f8") if self.doubles else (5, FIXED32, "<f4")
        if self.packed:
            return field(number, BYTES, array.astype(dtype).tobytes())
        code = "<d" if self.doubles else "<f"
        return b"".join(field(number, wire, struct.pack(code, value)) for value in array.ravel())

    def layer(self, name: str, *arrays: Array) -> bytes:
        """A layer with these blobs, between fields that hold no weights."""
        blobs = [self.shape(array) + self.values(array) for array in arrays]
        if self.version == 1:
            content = field(2, BYTES, b"below") + field(4, BYTES, name.encode()) + field(5, VARINT, varint(4))
            content += b"".join(field(6, BYTES, blob) for blob in blobs)
            return field(2, BYTES, content + field(7, FIXED32, struct.pack("<f", 1)))
        content = field(1, BYTES, name.encode()) + field(2, BYTES, b"Convolution")
        content += b"".join(field(7, BYTES, blob) for blob in blobs)
        return field(100, BYTES, content + field(106, BYTES, field(1, VARINT, varint(64))))

    def net(self, arrays: Mapping[str, Array]) -> bytes:
        """A model with the arrays LAYER.weight and LAYER.bias, and two layers `data` that learn nothing."""
        layers = {key.rpartition(".")[0]: None for key in arrays}
        blobs = {
            name: [arrays[key] for key in (f"{name}.weight", f"{name}.bias") if key in arrays] for name in layers
        }
        head = field(1, BYTES, b"net") + field(4, VARINT, varint(300)) + field(77, FIXED64, bytes(8))
        data = self.layer("data")
        return head + data + data + b"".join(self.layer(name, *arrays) for name, arrays in blobs.items())


def write_caffemodel(path: Path, arrays: Mapping[str, Array], layout: Layout) -> Path:
    """A Caffe model with the arrays LAYER.weight and LAYER.bias."""
    path.write_bytes(layout.net(arrays))
    return path
