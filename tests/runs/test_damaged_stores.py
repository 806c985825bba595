"""Stores whose files were cut, changed or taken from elsewhere."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from stored import COUNT, FIELDS, files, fill, finished

from detector.errors import DataError
from detector.runs.store import PROPOSAL_FIELDS, Fields, Store, StoreWriter

MANIFESTS: list[tuple[dict[str, object], str]] = [
    ({"count": "text"}, "count of a store's manifest must be a whole number from 0, got 'text'"),
    ({"count": True}, "must be a whole number from 0, got True"),
    ({"count": -1}, "must be a whole number from 0, got -1"),
    ({"count": 10**30}, r"array of a store must be int64\(1000000000000000000000000000001,\), got int64\(12,\)"),
    ({"rows": None}, "rows of a store's manifest must be a whole number from 0, got None"),
    ({"rows": 14}, "offsets of a store must rise from 0 to 14"),
    ({"key": 5}, "key of a store's manifest must be text, got 5"),
    ({"fields": None}, "fields of a store's manifest must be an object, got None"),
    ({"fields": {"boxes": ["banana", [4]]}}, r"type of numbers and a shape.*got \['banana', \[4\]\] for 'boxes'"),
    ({"fields": {"boxes": ["|O", []]}}, "type of numbers"),
    ({"fields": {"boxes": ["<f1", []]}}, "type of numbers"),
    ({"fields": {"boxes": ["<f4", [-4]]}}, "type of numbers"),
    ({"fields": {"boxes": "<f4"}}, "type of numbers"),
    ({"fields": {"../boxes": ["<f4", [4]]}}, "for '../boxes'"),
    ({"fields": {"masks": ["<f4", [4]]}}, "masks.npy"),
    ({"fields": {"boxes": ["<f8", [4]]}}, "must be float64"),
]


@pytest.mark.parametrize(("changes", "message"), MANIFESTS)
def test_a_damaged_manifest_is_named_and_made_again(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    finished(tmp_path / "whole")
    folder = tmp_path / "damaged"
    shutil.copytree(tmp_path / "whole", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    with pytest.raises(DataError, match=message):
        Store.open(folder)
    finished(folder)
    assert files(folder) == files(tmp_path / "whole")


@pytest.mark.parametrize("text", ["", "[]", "7", '{"key": "k"}', "{" * 100_000, '{"key": 1, "key": 2}', "\xff"])
def test_what_is_no_manifest_or_no_plan_is_made_again(tmp_path: Path, text: str) -> None:
    finished(tmp_path / "whole")
    folder = tmp_path / "damaged"
    writer = StoreWriter(folder, FIELDS, COUNT, "k", 3)
    fill(writer, most=2)
    (folder / "plan.json").write_text(text, encoding="latin-1")
    (folder / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="store"):
        Store.open(folder)
    finished(folder)
    assert files(folder) == files(tmp_path / "whole")


@pytest.mark.parametrize(
    "change",
    [{0: 1}, {3: 99}, {3: -(2**63)}, {-1: 14}, {4: 0, 5: 0, 2: 5}],
    ids=["start", "far", "least", "end", "fall"],
)
def test_offsets_that_do_not_rise_are_refused(tmp_path: Path, change: dict[int, int]) -> None:
    offsets = np.array(finished(tmp_path).offsets)
    for position, value in change.items():
        offsets[position] = value
    np.save(tmp_path / "offsets.npy", offsets)
    with pytest.raises(
        DataError, match=r"offsets of a store must rise from 0 to 15, got others \(.*offsets\.npy\)"
    ):
        Store.open(tmp_path)
    assert not Store.is_done(tmp_path, "k")


def test_an_array_with_something_behind_it_is_refused(tmp_path: Path) -> None:
    finished(tmp_path)
    with (tmp_path / "labels.npy").open("ab") as file:
        file.write(b"\0" * 8)
    with pytest.raises(DataError, match=r"must have \d+ bytes, got \d+ \(.*labels\.npy\)"):
        Store.open(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"x" * 500, pickle.dumps([1]), b"\x93NUMPY\x01\x00\x10\x00{'descr': evil}  "]
)
def test_an_array_that_is_no_npy_file_is_refused(tmp_path: Path, content: bytes) -> None:
    finished(tmp_path)
    (tmp_path / "labels.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"array of a store must be a whole \.npy file, got .*labels\.npy"):
        Store.open(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "labels.npy", "offsets.npy"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_and_made_again(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    finished(tmp_path / "whole")
    finished(tmp_path / "store")
    (tmp_path / "store" / name).unlink()
    make(tmp_path / "store" / name)
    with pytest.raises(DataError, match=rf"must be a readable file, got .*{name} \(it is "):
        Store.open(tmp_path / "store")
    finished(tmp_path / "store")
    assert files(tmp_path / "store") == files(tmp_path / "whole")


def test_a_store_is_asked_for_its_fields_and_its_images(tmp_path: Path) -> None:
    finished(tmp_path)
    assert Store.is_done(tmp_path, "k", FIELDS, COUNT)
    with pytest.raises(DataError, match=r"store must be of 12 images, got 11"):
        Store.open(tmp_path, count=12)
    with pytest.raises(DataError, match=r"must have the fields .*'scores'.*, got .*'labels'"):
        Store.open(tmp_path, fields=PROPOSAL_FIELDS)


def other_counts(part: Path) -> None:
    with np.load(part) as found:
        arrays = {name: found[name] for name in found}
    np.savez(part, **{**arrays, "offsets": arrays["offsets"] + 1})


def other_type(part: Path) -> None:
    with np.load(part) as found:
        arrays = {name: found[name] for name in found}
    np.savez(part, **{**arrays, "labels": arrays["labels"].astype(np.int32)})


@pytest.mark.parametrize(
    "damage",
    [
        lambda part: part.write_bytes(part.read_bytes()[:-30]),
        lambda part: part.write_bytes(b"PK\x05\x06" + b"\0" * 18),  # an archive of nothing
        lambda part: part.write_bytes(b""),
        lambda part: np.savez(part, offsets=np.zeros(3, np.int64)),
        lambda part: shutil.copy(part.parent / "000000009.npz", part),  # that of another shard, of two images
        other_counts,
        other_type,
    ],
)
def test_a_damaged_part_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    writer = StoreWriter(tmp_path / "store", FIELDS, COUNT, "k", 3)
    fill(writer)
    damage(tmp_path / "store/parts/000000003.npz")
    assert writer.missing_shards() == [range(3, 6)]
    fill(writer)
    writer.finish()
    finished(tmp_path / "whole")
    assert files(tmp_path / "store") == files(tmp_path / "whole")


def test_a_part_whose_values_are_damaged_is_named_and_removed(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, {"labels": FIELDS["labels"]}, 2, "k", 1)
    for shard in writer.missing_shards():
        writer.write_shard(shard, [{"labels": np.arange(9000)}])
    part = tmp_path / "parts/000000001.npz"
    content = bytearray(part.read_bytes())
    content[-10_000] ^= 1
    part.write_bytes(content)
    with pytest.raises(
        DataError, match=r"part of a store must be whole, got .*; it was removed, the same command"
    ):
        writer.finish()
    assert writer.missing_shards() == [range(1, 2)]


@pytest.mark.parametrize("count", [5, 3], ids=["all", "whole shards"])
def test_two_writers_without_a_lock_lose_work_but_mix_up_nothing(tmp_path: Path, count: int) -> None:
    fields: Fields = {"scores": (np.dtype(np.float32), ())}
    writers = [StoreWriter(tmp_path, fields, count, "key", shard=3) for _ in range(2)]
    entries = [{"scores": np.arange(position, dtype=np.float32)} for position in range(count)]
    for position in range(3):  # in step, until both are killed
        for writer in writers:
            writer.append(position, entries[position])
    again = StoreWriter(tmp_path, fields, count, "key", shard=3)
    for shard in again.missing_shards():
        for position in again.left(shard):
            again.append(position, entries[position])
        again.close_shard(shard)
    store = again.finish()
    for position in range(count):
        np.testing.assert_array_equal(store.read(position)["scores"], entries[position]["scores"])
