"""Entries appended to a file one by one, of which a kill or a crash loses the last at most.

The file begins with a hash of what it is a journal of; each entry states its position. So entries of another
store, of another image or of the same one again are never taken for others: two processes that write one journal,
where nothing could keep them apart, lose work but mix up nothing.
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detector.files import unwritable
from detector.records import Array

Fields = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
Entry = Mapping[str, Array]

FORMAT = b"detector journal 2\n"  # raised when the file changes: what others wrote is made again
NUMBERS = struct.Struct("<qq")  # position and rows
CHECKSUM = struct.Struct("<I")  # of the numbers and the content that follows
HEADER = NUMBERS.size + CHECKSUM.size


class Journal:
    """The entries of the images at `positions`, in order: arrays with `fields` (name to dtype and shape of a row).

    `key` is that of the store they are for.
    """

    def __init__(self, path: Path, fields: Fields, positions: range, key: str) -> None:
        self.path = path
        self.fields = fields
        self.positions = positions
        layout = [(name, dtype.str, tail) for name, (dtype, tail) in fields.items()]
        self._start = FORMAT + hashlib.sha256(repr((key, positions, layout)).encode()).digest()

    def append(self, position: int, entry: Entry) -> None:
        """Add the `entry` of the image at `position`; it is in the file when this returns."""
        content = b"".join(np.ascontiguousarray(entry[name]).tobytes() for name in self.fields)
        numbers = NUMBERS.pack(position, len(entry[next(iter(self.fields))]))
        try:
            with self.path.open("ab") as file:
                start = b"" if file.tell() else self._start
                file.write(start + numbers + _checksum(numbers, content) + content)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def read(self) -> list[Entry]:
        """The whole entries of the first images; what follows the last of them is cut off. None without a file."""
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        entries: list[Entry] = []
        end = len(self._start) if data.startswith(self._start) else 0
        while end and len(entries) < len(self.positions):
            found = self._parse(data, end, self.positions[len(entries)])
            if found is None:
                break
            entry, end = found
            entries.append(entry)
        if end < len(data):
            with self.path.open("r+b") as file:
                file.truncate(end)
        return entries

    def _parse(self, data: bytes, start: int, position: int) -> tuple[Entry, int] | None:
        """The entry at `start` and where it ends; None where no whole one of the image at `position` is there."""
        first = start + HEADER
        if first > len(data):
            return None
        found, rows = NUMBERS.unpack_from(data, start)
        sizes = [dtype.itemsize * int(np.prod(tail)) * rows for dtype, tail in self.fields.values()]
        last = first + sum(sizes)
        if found != position or rows < 0 or last > len(data):
            return None
        numbers = data[start : start + NUMBERS.size]
        if data[start + NUMBERS.size : first] != _checksum(numbers, data[first:last]):
            return None
        entry, at = {}, first
        for (name, (dtype, tail)), size in zip(self.fields.items(), sizes, strict=True):
            entry[name] = np.frombuffer(data[at : at + size], dtype).reshape(rows, *tail)
            at += size
        return entry, last


def _checksum(numbers: bytes, content: bytes) -> bytes:
    return CHECKSUM.pack(zlib.crc32(content, zlib.crc32(numbers)))
