from pathlib import Path

import numpy as np
import pytest

from detector.data.journal import Fields, Journal
from detector.errors import DataError
from detector.records import Array

FIELDS: Fields = {"boxes": (np.dtype(np.float32), (4,)), "labels": (np.dtype(np.int64), ())}


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
    journal = Journal(tmp_path / "j", FIELDS)
    assert journal.read() == []
    for rows in (3, 0, 5):
        journal.append(entry(rows))
    assert_entries(Journal(tmp_path / "j", FIELDS), [3, 0, 5])


def test_a_journal_cut_anywhere_keeps_its_whole_entries_and_goes_on(tmp_path: Path) -> None:
    whole = Journal(tmp_path / "whole", FIELDS)
    ends = [0]
    for rows in (2, 0, 1):
        whole.append(entry(rows))
        ends.append(whole.path.stat().st_size)
    data = whole.path.read_bytes()
    for size in range(len(data) + 1):
        cut = Journal(tmp_path / "cut", FIELDS)
        cut.path.write_bytes(data[:size])
        kept = [2, 0, 1][: sum(end <= size for end in ends[1:])]
        assert_entries(cut, kept)
        cut.append(entry(4))
        assert_entries(cut, [*kept, 4])


@pytest.mark.parametrize("garbage", [b"\0" * 40, b"\xff" * 40])
def test_garbage_after_the_last_entry_is_no_entry(tmp_path: Path, garbage: bytes) -> None:
    journal = Journal(tmp_path / "j", FIELDS)
    journal.append(entry(2))
    journal.path.write_bytes(journal.path.read_bytes() + garbage)
    assert_entries(journal, [2])


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/j must be writable"):
        Journal(tmp_path / "nowhere" / "j", FIELDS).append(entry(1))
