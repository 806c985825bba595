"""Entries appended to a file one by one, of which a kill or a crash loses the last at most."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detector.errors import DataError
from detector.records import Array

Fields = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
Entry = Mapping[str, Array]

HEADER = struct.Struct("<qI")  # rows, and the checksum of rows and content


class Journal:
    """Entries of arrays with `fields` (name to dtype and shape of one row), in the order they were appended."""

    def __init__(self, path: Path, fields: Fields) -> None:
        self.path = path
        self.fields = fields

    def append(self, entry: Entry) -> None:
        """Add `entry`; it is in the file when this returns."""
        content = b"".join(np.ascontiguousarray(entry[name]).tobytes() for name in self.fields)
        rows = len(entry[next(iter(self.fields))])
        try:
            with self.path.open("ab") as file:
                file.write(HEADER.pack(rows, _checksum(rows, content)) + content)
        except OSError as error:
            raise DataError(f"{self.path} must be writable ({error.strerror})") from None

    def read(self) -> list[Entry]:
        """The whole entries; what follows the last of them is cut off. None where there is no file."""
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        entries: list[Entry] = []
        end = 0
        while (found := self._parse(data, end)) is not None:
            entry, end = found
            entries.append(entry)
        if end < len(data):
            with self.path.open("r+b") as file:
                file.truncate(end)
        return entries

    def _parse(self, data: bytes, start: int) -> tuple[Entry, int] | None:
        """The entry at `start` and where it ends; None where none is whole."""
        first = start + HEADER.size
        if first > len(data):
            return None
        rows, checksum = HEADER.unpack_from(data, start)
        sizes = [dtype.itemsize * int(np.prod(tail)) * rows for dtype, tail in self.fields.values()]
        last = first + sum(sizes)
        if rows < 0 or last > len(data) or _checksum(rows, data[first:last]) != checksum:
            return None
        entry, at = {}, first
        for (name, (dtype, tail)), size in zip(self.fields.items(), sizes, strict=True):
            entry[name] = np.frombuffer(data[at : at + size], dtype).reshape(rows, *tail)
            at += size
        return entry, last


def _checksum(rows: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(struct.pack("<q", rows)))
