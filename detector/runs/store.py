"""Stores: one entry an image, each a set of arrays with the same number of rows, in memory-mapped files.

A store is a folder with FIELD.npy, the rows of all images one after another; offsets.npy (n + 1,) i64, where
each image's rows begin; and manifest.json, which is written last and so marks a finished store. Until then the
folder holds parts, one a shard of images, each written whole or not at all; a restarted writer keeps them.
Damaged stores and parts do not count as finished: the writer makes them again, a reader raises an error.
"""

import json
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from detector.errors import DataError
from detector.files import remove_leftovers, require_file, unreadable, write_atomically, write_text
from detector.records import Array, Int64, Proposals
from detector.runs.journal import Entry, Fields, Journal
from detector.runs.store_files import (
    MANIFEST,
    OFFSETS,
    Manifest,
    holds_json,
    layout_text,
    map_array,
    read_part,
    write_array,
)

PLAN, PARTS = "plan.json", "parts"
PROPOSAL_FIELDS: Fields = {"boxes": (np.dtype(np.float32), (4,)), "scores": (np.dtype(np.float32), ())}


class Store:
    """A finished store, read-only. It is cheap to open and to send to another process."""

    def __init__(self, folder: Path, key: str, offsets: Int64, arrays: Mapping[str, Array]) -> None:
        self.folder = folder
        self.key = key
        self.offsets = offsets
        self._arrays = dict(arrays)

    @classmethod
    def open(
        cls, folder: Path, key: str | None = None, fields: Fields | None = None, count: int | None = None
    ) -> "Store":
        """The finished store in `folder`; DataError where it is none or is damaged.

        Also where another `key`, other `fields` or another `count` of images is asked for than it has.
        """
        manifest = Manifest.read(folder)
        if key is not None and manifest.key != key:
            raise DataError(f"store must have the key {key}, got {manifest.key} ({folder})")
        if fields is not None and manifest.fields != fields:
            wanted, got = layout_text(fields), layout_text(manifest.fields)
            raise DataError(f"store must have the fields {wanted}, got {got} ({folder})")
        if count is not None and manifest.count != count:
            raise DataError(f"store must be of {count} images, got {manifest.count} ({folder})")
        offsets = map_array(folder, OFFSETS, np.dtype(np.int64), (manifest.count + 1,))
        if offsets[0] != 0 or offsets[-1] != manifest.rows or (offsets[1:] < offsets[:-1]).any():
            path = folder / f"{OFFSETS}.npy"
            raise DataError(f"offsets of a store must rise from 0 to {manifest.rows}, got others ({path})")
        arrays = {
            name: map_array(folder, name, dtype, (manifest.rows, *tail))
            for name, (dtype, tail) in manifest.fields.items()
        }
        return cls(folder, manifest.key, offsets, arrays)

    @staticmethod
    def is_done(folder: Path, key: str, fields: Fields | None = None, count: int | None = None) -> bool:
        """Whether `folder` holds a whole store made with `key`, as `open` would open it."""
        try:
            Store.open(folder, key, fields, count)
        except DataError:
            return False
        return True

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __reduce__(self) -> tuple[Callable[[Path], "Store"], tuple[Path]]:
        return Store.open, (self.folder,)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(self._arrays)

    def field(self, name: str) -> Array:
        """The rows of all images, memory-mapped; those of image i are offsets[i]:offsets[i + 1]."""
        return self._arrays[name]

    def read(self, position: int) -> dict[str, Array]:
        """The arrays of the image at `position`, as memory-mapped views."""
        rows = slice(self.offsets[position], self.offsets[position + 1])
        return {name: array[rows] for name, array in self._arrays.items()}


class StoreWriter:
    """Writes a store shard by shard; what an interrupted writer with the same key and layout wrote is kept.

    `fields` maps a name to dtype and shape of one row, `count` is the number of images, `shard` how many of
    them a part holds. The finished store does not depend on `shard` or on interruptions. Several processes may
    write different shards once one of them has made a writer. A shard is written at once by `write_shard`, or
    image by image by `append`, which a kill does not undo: `left` says where to go on.
    """

    def __init__(self, folder: Path, fields: Fields, count: int, key: str, shard: int = 64) -> None:
        self.folder = folder
        self.fields = {name: (np.dtype(dtype), tuple(tail)) for name, (dtype, tail) in fields.items()}
        self.count = count
        self.key = key
        self.shard = shard
        self._layout = {name: [dtype.str, list(tail)] for name, (dtype, tail) in self.fields.items()}
        self._parts = folder / PARTS
        if OFFSETS in self.fields:
            raise DataError(f"field names must differ from {OFFSETS!r}, got {list(self.fields)} ({folder})")
        if not self._is_done():
            self._begin()

    def missing_shards(self, rank: int = 0, world: int = 1) -> list[range]:
        """The positions of each shard not yet written, of those that are process `rank`'s of `world`."""
        if self._is_done():
            return []
        return [shard for shard in self._shards()[rank::world] if not self._is_whole(shard)]

    def left(self, shard: range) -> range:
        """The positions of `shard` that were not appended yet."""
        return shard[len(self._journal(shard).read()) :]

    def append(self, position: int, entry: Entry) -> None:
        """Write the entry of the image at `position`, the first that is left of its shard."""
        self._rows(entry)
        self._journal(self._shard(position // self.shard * self.shard)).append(position, entry)

    def close_shard(self, shard: range) -> None:
        """Make a part of the entries that were appended, of all images of `shard`."""
        journal = self._journal(shard)
        self.write_shard(shard, journal.read())
        journal.path.unlink(missing_ok=True)

    def write_shard(self, shard: range, entries: Sequence[Entry]) -> None:
        """Write the entries of the images at the positions `shard`, in that order."""
        if len(entries) != len(shard):
            got = f"{len(entries)} for {len(shard)} images"
            raise DataError(f"shard must have an entry an image, got {got} ({self.folder})")
        counts = [self._rows(entry) for entry in entries]
        arrays: dict[str, Array] = {OFFSETS: np.array(counts, np.int64)}
        for name, (dtype, tail) in self.fields.items():
            arrays[name] = np.concatenate([np.empty((0, *tail), dtype), *(entry[name] for entry in entries)])
        with write_atomically(self._part(shard)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def finish(self) -> Store:
        """Merge the parts, in order and one at a time in memory, into the finished store and open it."""
        if not self._is_done():
            self._merge()
        shutil.rmtree(self._parts, ignore_errors=True)
        (self.folder / PLAN).unlink(missing_ok=True)
        return Store.open(self.folder, self.key)

    def _begin(self) -> None:
        """Make ready for parts; what another key or layout left behind goes."""
        plan = {"key": self.key, "count": self.count, "shard": self.shard, "fields": self._layout}
        if not holds_json(self.folder / PLAN, plan):
            _remove(self.folder / MANIFEST)  # first: a kill must not leave what looks finished
            for old in list(self.folder.glob("*")):
                _remove(old)
            write_text(self.folder / PLAN, json.dumps(plan) + "\n")

    def _is_done(self) -> bool:
        return Store.is_done(self.folder, self.key, self.fields, self.count)

    def _merge(self) -> None:
        missing = [shard.start for shard in self._shards() if not self._is_whole(shard)]
        if missing:
            raise DataError(f"store must have all its parts, got none from image {missing[0]} on ({self.folder})")
        remove_leftovers(self.folder)
        counts = np.concatenate([np.zeros(1, np.int64), *self._stored(OFFSETS)])
        offsets = np.cumsum(counts, dtype=np.int64)
        rows = int(offsets[-1])
        write_array(self.folder / f"{OFFSETS}.npy", offsets.dtype, offsets.shape, [offsets])
        for name, (dtype, tail) in self.fields.items():
            write_array(self.folder / f"{name}.npy", dtype, (rows, *tail), self._stored(name))
        manifest = {"key": self.key, "count": self.count, "rows": rows, "fields": self._layout}
        write_text(self.folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")

    def _shards(self) -> list[range]:
        return [self._shard(first) for first in range(0, self.count, self.shard)]

    def _shard(self, first: int) -> range:
        return range(first, min(first + self.shard, self.count))

    def _part(self, shard: range) -> Path:
        return self._parts / f"{shard.start:09d}.npz"

    def _journal(self, shard: range) -> Journal:
        self._parts.mkdir(parents=True, exist_ok=True)
        return Journal(self._parts / f"{shard.start:09d}.journal", self.fields, shard, self.key)

    def _is_whole(self, shard: range) -> bool:
        """Whether the part is there and has the arrays that `write_shard` gives it; their values are not read."""
        try:
            with zipfile.ZipFile(require_file(self._part(shard), "part of a store")) as part:
                counts, found = read_part(part)
        except Exception:  # whatever a damaged file makes its reader stumble over
            return False
        rows = int(counts.sum())
        wanted = {name: ((rows, *tail), False, dtype) for name, (dtype, tail) in self.fields.items()}
        return len(counts) == len(shard) and bool((counts >= 0).all()) and found == wanted

    def _stored(self, name: str) -> Iterator[Array]:
        """The array `name` of each part, in order. A damaged part goes: the next writer makes it again."""
        for shard in self._shards():
            path = self._part(shard)
            try:
                with np.load(path) as part:
                    array = part[name]
            except OSError as error:
                raise unreadable(path, "part of a store", error.strerror) from None
            except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
                path.unlink(missing_ok=True)
                raise DataError(
                    f"part of a store must be whole, got {path} ({error}); it was removed, the same command makes "
                    "it again"
                ) from None
            yield array

    def _rows(self, entry: Entry) -> int:
        """The number of rows of an entry; DataError where its arrays are not what the fields promise."""
        shapes = {name: (entry[name].dtype, entry[name].shape[1:]) for name in entry}
        lengths = {len(array) for array in entry.values()}
        if shapes != self.fields or len(lengths) != 1:
            got = {name: f"{array.dtype}{array.shape}" for name, array in entry.items()}
            raise DataError(f"entry must have the fields {layout_text(self.fields)}, got {got} ({self.folder})")
        return lengths.pop()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_proposals(store: Store, position: int) -> Proposals:
    """The proposals of the image at `position` in a store of `PROPOSAL_FIELDS`."""
    return Proposals(**store.read(position))
