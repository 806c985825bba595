"""Results that are stores: shared out over processes, resumed at the image, the same whoever wrote them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from detector.progress import progress_bar
from detector.runs.journal import Entry, Fields
from detector.runs.processes import Group
from detector.runs.stage import FILES, Result, file_sizes
from detector.runs.store import Store, StoreWriter

SHARD = 64  # images

Make = Callable[[range], Iterator[Entry]]


def run_stored(
    result: Result,
    fields: Fields,
    count: int,
    prepare: Callable[[], Make],
    facts: Callable[[Store], dict[str, Any]],
    files: Sequence[str] = (),
) -> Store:
    """The result's store of `count` images, computed where it is not there yet.

    `prepare` gives the function that makes the entries of a range of images; it is called before anything is
    written. Every process of the group must call this. `facts` of the finished store go into the manifest of the
    stage, and are made by the first process alone; making them writes further `files` into the result's folder,
    and is done again where one of these is gone or has another size.
    """
    group, folder = result.group, result.folder / "store"
    is_whole = result.is_done() and Store.is_done(folder, result.key, fields, count)
    if group.from_first(is_whole and result.has_files(files)):
        return Store.open(folder, result.key)
    make = prepare()
    result.begin()
    if group.is_first:
        StoreWriter(folder, fields, count, result.key, SHARD)
    group.wait()  # until what is damaged is gone
    writer = StoreWriter(folder, fields, count, result.key, SHARD)
    fill(writer, make, result.stage.name, group)
    group.wait()
    if group.is_first:
        found = facts(writer.finish())
        if files:
            found[FILES] = file_sizes(result.folder, files)
        result.finish(**found)
    group.wait()
    return Store.open(folder, result.key)


def fill(writer: StoreWriter, make: Make, label: str, group: Group) -> None:
    """Write the shards that are missing, those of this process; the first one shows its own progress.

    An entry is written on a thread while the next ones are made: at most one that was made is not yet in its file.
    """
    shards = writer.missing_shards(group.rank, group.world)
    left = [writer.left(shard) for shard in shards]
    total = sum(map(len, left))
    with (
        progress_bar(total=total, desc=label, unit="image", disable=not group.is_first) as progress,
        ThreadPoolExecutor(1) as pool,
    ):
        for shard, positions in zip(shards, left, strict=True):
            written: Future[None] | None = None
            for position, entry in zip(positions, make(positions), strict=True):
                if written is not None:
                    written.result()
                written = pool.submit(writer.append, position, entry)
                progress.update()
            if written is not None:
                written.result()
            writer.close_shard(shard)
