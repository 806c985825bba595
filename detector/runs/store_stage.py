"""Stages whose result is a store: shared out over processes, resumed at the image, the same whoever wrote it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from detector.runs.folder import FILES, Stage, file_sizes, key_of
from detector.runs.journal import Entry, Fields
from detector.runs.processes import Group
from detector.runs.store import Store, StoreWriter

SHARD = 64  # images

Make = Callable[[range], Iterator[Entry]]


def run_stored_stage(
    stage: Stage,
    inputs: Mapping[str, Any],
    fields: Fields,
    count: int,
    group: Group,
    prepare: Callable[[], Make],
    facts: Callable[[Store], dict[str, Any]],
    files: Sequence[str] = (),
) -> Store:
    """The stage's store of `count` images, computed where it is not there yet.

    `prepare` gives the function that makes the entries of a range of images; it is called before anything old is
    removed. Every process of the group must call this. `facts` of the finished store go into the manifest of the
    stage, and are made by the first process alone; making them writes further `files` into the stage's folder, and
    is done again where one of these is gone or has another size.
    """
    key = key_of(inputs)
    folder = stage.folder / "store"
    is_done = group.is_first and stage.is_done(inputs) and Store.is_done(folder, key, fields, count)
    if group.from_first(is_done and stage.has_files(files)):
        return Store.open(folder, key)
    make = prepare()
    if group.is_first:
        stage.begin(inputs)
        StoreWriter(folder, fields, count, key, SHARD)
    group.wait()  # until an outdated store is gone
    writer = StoreWriter(folder, fields, count, key, SHARD)
    fill(writer, make, stage.name, group)
    group.wait()
    if group.is_first:
        found = facts(writer.finish())
        if files:
            found[FILES] = file_sizes(stage.folder, files)
        stage.finish(inputs, **found)
    group.wait()
    return Store.open(folder, key)


def fill(writer: StoreWriter, make: Make, label: str, group: Group) -> None:
    """Write the shards that are missing, those of this process; the first one shows its own progress."""
    shards = writer.missing_shards(group.rank, group.world)
    left = [writer.left(shard) for shard in shards]
    total = sum(map(len, left))
    hidden = None if group.is_first else True
    with tqdm(total=total, desc=label, unit="image", disable=hidden) as progress:
        for shard, positions in zip(shards, left, strict=True):
            for position, entry in zip(positions, make(positions), strict=True):
                writer.append(position, entry)
                progress.update()
            writer.close_shard(shard)
