import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from detector.errors import DataError
from detector.records import Array
from detector.runs.journal import Fields, Journal

FIELDS: Fields = {"boxes": (np.dtype(np.float32), (4,)), "labels": (np.dtype(np.int64), ())}


POSITIONS = range(8, 12)


def journal_at(path: Path, positions: range = POSITIONS, key: str = "k", fields: Fields = FIELDS) -> Journal:
    return Journal(path, fields, positions, key)


def entry(rows: int) -> dict[str, Array]:
    random = np.random.default_rng(rows)
    return {"boxes": random.random((rows, 4), np.float32), "labels": random.integers(0, 9, rows)}


def assert_entries(journal: Journal, counts: list[int]) -> None:
    found = journal.read()
    assert [len(each["labels"]) for each in found] == counts
    for each in found:
        for name, array in entry(len(each["labels"])).items():
            np.testing.assert_array_equal(each[name], array)


def test_entries_come_back_in_their_order(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "j")
    assert journal.read() == []
    for position, rows in zip(POSITIONS, (3, 0, 5), strict=False):
        journal.append(position, entry(rows))
    assert_entries(journal_at(tmp_path / "j"), [3, 0, 5])


def test_a_journal_cut_anywhere_keeps_its_whole_entries_and_goes_on(tmp_path: Path) -> None:
    whole = journal_at(tmp_path / "whole")
    ends = []
    for position, rows in zip(POSITIONS, (2, 0, 1), strict=False):
        whole.append(position, entry(rows))
        ends.append(whole.path.stat().st_size)
    data = whole.path.read_bytes()
    for size in range(len(data) + 1):
        cut = journal_at(tmp_path / "cut")
        cut.path.write_bytes(data[:size])
        kept = [2, 0, 1][: sum(end <= size for end in ends)]
        assert_entries(cut, kept)
        cut.append(POSITIONS[len(kept)], entry(4))
        assert_entries(cut, [*kept, 4])


@pytest.mark.parametrize("garbage", [b"\0" * 40, b"\xff" * 40])
def test_garbage_after_the_last_entry_is_no_entry(tmp_path: Path, garbage: bytes) -> None:
    journal = journal_at(tmp_path / "j")
    journal.append(8, entry(2))
    journal.path.write_bytes(journal.path.read_bytes() + garbage)
    assert_entries(journal, [2])


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ([8, 8, 9, 9], 1),  # two processes in step
        ([8, 9, 8, 9, 10], 2),  # one that goes on behind another
        ([9, 8], 0),
        ([8, 10], 1),
        ([8, 9, 10, 11, 8], 4),  # more than there are images
        ([-8, 8], 0),
    ],
)
def test_entries_of_other_images_are_cut_off(tmp_path: Path, written: list[int], kept: int) -> None:
    journal = journal_at(tmp_path / "j")
    for number, position in enumerate(written):
        journal.append(position, entry(number))
    assert_entries(journal, list(range(kept)))
    for position in POSITIONS[kept:]:
        journal.append(position, entry(position))
    assert_entries(journal, [*range(kept), *POSITIONS[kept:]])


@pytest.mark.parametrize("name", ["key", "positions", "fields"])
def test_a_journal_of_something_else_counts_for_nothing(tmp_path: Path, name: str) -> None:
    others = {"key": "other", "positions": range(8, 13), "fields": {"labels": FIELDS["labels"]}}
    journal_at(tmp_path / "j").append(8, entry(1))
    other = journal_at(tmp_path / "j", **{name: others[name]})  # type: ignore[arg-type]
    assert other.read() == []
    other.append(8, entry(3))
    assert [len(each["labels"]) for each in other.read()] == [3]


def test_a_journal_of_an_older_version_counts_for_nothing(tmp_path: Path) -> None:
    rows, content = struct.pack("<q", 1), b"".join(array.tobytes() for array in entry(1).values())
    checksum = struct.pack("<I", zlib.crc32(content, zlib.crc32(rows)))
    (tmp_path / "j").write_bytes(rows + checksum + content)
    assert_entries(journal_at(tmp_path / "j"), [])
    assert (tmp_path / "j").read_bytes() == b""


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/j must be writable"):
        journal_at(tmp_path / "nowhere" / "j").append(8, entry(1))
