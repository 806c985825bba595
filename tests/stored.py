"""A small store to write, to read and to damage."""

from pathlib import Path

import numpy as np

from detector.records import Array
from detector.runs.store import Fields, Store, StoreWriter

FIELDS: Fields = {
    "boxes": (np.dtype(np.float32), (4,)),
    "labels": (np.dtype(np.int64), ()),
    "flags": (np.dtype(np.uint8), (2, 3)),
}
COUNT = 11


def entry(position: int) -> dict[str, Array]:
    random = np.random.default_rng(position)
    rows = position % 4  # images 0, 4 and 8 have none
    return {
        "boxes": random.random((rows, 4), np.float32),
        "labels": random.integers(0, 99, rows),
        "flags": random.integers(0, 255, (rows, 2, 3), np.uint8),
    }


def fill(writer: StoreWriter, most: int = 99) -> None:
    for shard in writer.missing_shards()[:most]:
        writer.write_shard(shard, [entry(position) for position in shard])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def finished(folder: Path, key: str = "k", shard: int = 3) -> Store:
    writer = StoreWriter(folder, FIELDS, COUNT, key, shard)
    fill(writer)
    return writer.finish()
