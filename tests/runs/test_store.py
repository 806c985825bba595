import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from stored import COUNT, FIELDS, entry, files, fill, finished

from detector.errors import DataError
from detector.records import Array
from detector.runs.store import PROPOSAL_FIELDS, Fields, Store, StoreWriter, read_proposals


def test_store_gives_back_what_was_written(tmp_path: Path) -> None:
    store = finished(tmp_path)
    assert len(store) == COUNT
    assert store.fields == ("boxes", "labels", "flags")
    for position in range(COUNT):
        read = store.read(position)
        for name, array in entry(position).items():
            np.testing.assert_array_equal(read[name], array)
            assert read[name].dtype == array.dtype
    assert store.field("labels").shape == (store.offsets[-1],)


def test_store_is_read_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        finished(tmp_path).read(1)["boxes"][0, 0] = 1


def test_folder_of_a_finished_store_holds_only_the_store(tmp_path: Path) -> None:
    finished(tmp_path)
    assert sorted(files(tmp_path)) == ["boxes.npy", "flags.npy", "labels.npy", "manifest.json", "offsets.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "offsets.npy")[:4], [0, 0, 1, 3])


def test_interrupted_store_is_byte_for_byte_the_same(tmp_path: Path) -> None:
    finished(tmp_path / "whole")
    for shard in (1, 3, 50):
        folder = tmp_path / f"in{shard}"
        for _ in range(COUNT):
            fill(StoreWriter(folder, FIELDS, COUNT, "k", shard), most=1)
            (folder / "parts" / ".000000001.npz.abcd_123.tmp").write_bytes(b"left by a kill")
        StoreWriter(folder, FIELDS, COUNT, "k", shard).finish()
        assert files(folder) == files(tmp_path / "whole")


def test_restart_skips_the_parts_that_are_whole(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, FIELDS, COUNT, "k", 3)
    assert writer.missing_shards() == [range(0, 3), range(3, 6), range(6, 9), range(9, 11)]
    fill(writer, most=2)
    again = StoreWriter(tmp_path, FIELDS, COUNT, "k", 3)
    assert again.missing_shards() == [range(6, 9), range(9, 11)]
    part = sorted((tmp_path / "parts").glob("*.npz"))[0]
    part.write_bytes(part.read_bytes()[:-30])
    assert again.missing_shards()[0] == range(0, 3)


def test_processes_share_the_shards_without_overlap(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, FIELDS, COUNT, "k", 2)
    everything = writer.missing_shards()
    first, second = writer.missing_shards(0, 2), writer.missing_shards(1, 2)
    assert sorted([*first, *second], key=lambda shard: shard.start) == everything
    writer.write_shard(first[0], [entry(position) for position in first[0]])
    assert writer.missing_shards(1, 2) == second


@pytest.mark.parametrize("change", ["key", "count", "shard", "fields"])
def test_writer_with_another_plan_starts_anew(tmp_path: Path, change: str) -> None:
    plan = {"fields": FIELDS, "count": COUNT, "key": "k", "shard": 3}
    other = {"fields": {"boxes": FIELDS["boxes"]}, "count": COUNT - 1, "key": "k2", "shard": 2}
    fill(StoreWriter(tmp_path, **plan), most=2)  # type: ignore[arg-type]
    writer = StoreWriter(tmp_path, **{**plan, change: other[change]})  # type: ignore[arg-type]
    assert writer.missing_shards()[0].start == 0


def test_finished_store_of_another_key_is_replaced(tmp_path: Path) -> None:
    finished(tmp_path)
    writer = StoreWriter(tmp_path, {"labels": FIELDS["labels"]}, 2, "k2")
    assert not Store.is_done(tmp_path, "k")
    writer.write_shard(range(2), [{"labels": np.arange(3)}, {"labels": np.arange(1)}])
    assert writer.finish().field("labels").tolist() == [0, 1, 2, 0]
    assert sorted(files(tmp_path)) == ["labels.npy", "manifest.json", "offsets.npy"]


def test_finished_store_has_nothing_missing_and_finishes_again(tmp_path: Path) -> None:
    finished(tmp_path)
    before = files(tmp_path)
    writer = StoreWriter(tmp_path, FIELDS, COUNT, "k")
    assert writer.missing_shards() == []
    writer.finish()
    assert files(tmp_path) == before


def test_half_written_store_is_never_taken_for_a_finished_one(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, FIELDS, COUNT, "k", 3)
    fill(writer, most=3)
    assert not Store.is_done(tmp_path, "k")
    with pytest.raises(DataError, match=r"store must be finished, got one that is missing or half written \("):
        Store.open(tmp_path, "k")
    with pytest.raises(DataError, match="all its parts, got none from image 9 on"):
        writer.finish()


def test_wrong_key_is_told(tmp_path: Path) -> None:
    finished(tmp_path, "made")
    assert Store.is_done(tmp_path, "made")
    assert not Store.is_done(tmp_path, "wanted")
    with pytest.raises(DataError, match=r"store must have the key wanted, got made"):
        Store.open(tmp_path, "wanted")
    assert len(Store.open(tmp_path)) == COUNT


@pytest.mark.parametrize("name", ["boxes.npy", "offsets.npy", "flags.npy", "manifest.json"])
@pytest.mark.parametrize("keep", [0, 20, -1])
def test_truncated_store_is_not_done_and_is_written_anew(tmp_path: Path, name: str, keep: int) -> None:
    finished(tmp_path / "whole")
    folder = tmp_path / "cut"
    shutil.copytree(tmp_path / "whole", folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:keep])
    if name == "manifest.json" and keep == -1:  # only the last line's end is gone
        return
    assert not Store.is_done(folder, "k")
    with pytest.raises(DataError, match="store"):
        Store.open(folder, "k")
    finished(folder)
    assert files(folder) == files(tmp_path / "whole")


def test_array_of_another_shape_is_refused(tmp_path: Path) -> None:
    finished(tmp_path)
    np.save(tmp_path / "labels.npy", np.zeros(3, np.int64))
    with pytest.raises(DataError, match=r"must be int64\(15,\), got int64\(3,\) \(.*labels\.npy\)"):
        Store.open(tmp_path)


@pytest.mark.parametrize("count", [0, 3])
def test_store_without_rows_works(tmp_path: Path, count: int) -> None:
    writer = StoreWriter(tmp_path, FIELDS, count, "k")
    for shard in writer.missing_shards():
        writer.write_shard(shard, [entry(0) for _ in shard])
    store = writer.finish()
    assert len(store) == count
    assert store.field("flags").shape == (0, 2, 3)
    assert all(len(store.read(position)["boxes"]) == 0 for position in range(count))


@pytest.mark.parametrize(
    "wrong",
    [
        {"boxes": np.zeros((2, 4)), "labels": np.zeros(2, np.int64)},
        {"boxes": np.zeros((2, 5), np.float32), "labels": np.zeros(2, np.int64)},
        {"boxes": np.zeros((2, 4), np.float32), "labels": np.zeros(3, np.int64)},
        {"boxes": np.zeros((2, 4), np.float32)},
        {},
    ],
)
def test_entry_that_does_not_fit_the_fields_is_refused(tmp_path: Path, wrong: dict[str, Array]) -> None:
    writer = StoreWriter(tmp_path, {"boxes": FIELDS["boxes"], "labels": FIELDS["labels"]}, 1, "k")
    with pytest.raises(DataError, match=r"entry must have the fields .*'boxes': 'float32\(rows, 4\)'"):
        writer.write_shard(range(1), [wrong])


def test_wrong_number_of_entries_is_refused(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, FIELDS, COUNT, "k", 3)
    with pytest.raises(DataError, match="shard must have an entry an image, got 2 for 3 images"):
        writer.write_shard(range(3), [entry(0), entry(1)])


def test_offsets_is_no_name_for_a_field(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="field names must differ from 'offsets'"):
        StoreWriter(tmp_path, {"offsets": FIELDS["labels"]}, 1, "k")


def test_full_disk_leaves_a_store_that_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(tmp_path / "whole")
    folder = tmp_path / "full"
    writer = StoreWriter(folder, FIELDS, COUNT, "k", 3)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", fail)
        with pytest.raises(DataError, match=r"000000000\.npz must be writable \(No space left on device\)"):
            fill(writer)
    assert writer.missing_shards()[0] == range(0, 3)
    fill(writer)
    with monkeypatch.context() as patch:
        patch.setattr("detector.runs.store_files.npy.write_array_header_1_0", fail)
        with pytest.raises(DataError, match=r"offsets\.npy must be writable"):
            writer.finish()
    assert not Store.is_done(folder, "k")
    StoreWriter(folder, FIELDS, COUNT, "k", 3).finish()
    assert files(folder) == files(tmp_path / "whole")


def test_store_travels_to_another_process_by_name(tmp_path: Path) -> None:
    store = finished(tmp_path)
    message = pickle.dumps(store)
    assert len(message) < 1000
    np.testing.assert_array_equal(pickle.loads(message).field("boxes"), store.field("boxes"))


def test_proposals_are_read_from_a_store(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, PROPOSAL_FIELDS, 1, "k")
    boxes, scores = np.ones((2, 4), np.float32), np.array([0.5, 0.25], np.float32)
    writer.write_shard(range(1), [{"boxes": boxes, "scores": scores}])
    proposals = read_proposals(writer.finish(), 0)
    np.testing.assert_array_equal(proposals.boxes, boxes)
    np.testing.assert_array_equal(proposals.scores, scores)


def test_a_store_appended_image_by_image_equals_one_written_at_once(tmp_path: Path) -> None:
    fields: Fields = {"scores": (np.dtype(np.float32), ())}
    entries = [{"scores": np.arange(count, dtype=np.float32)} for count in (3, 0, 2, 4, 1)]
    for name, killed_after in (("whole", None), ("killed", 2)):
        for attempt in range(2):
            writer = StoreWriter(tmp_path / name, fields, 5, "key", shard=3)
            for shard in writer.missing_shards():
                for position in writer.left(shard):
                    if attempt == 0 and position == killed_after:
                        break
                    writer.append(position, entries[position])
                else:
                    writer.close_shard(shard)
                    continue
                break
        assert writer.missing_shards() == []
        writer.finish()
    for file in ("scores.npy", "offsets.npy", "manifest.json"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "killed" / file).read_bytes()


def test_closing_a_shard_that_lacks_images_is_refused(tmp_path: Path) -> None:
    fields: Fields = {"scores": (np.dtype(np.float32), ())}
    writer = StoreWriter(tmp_path, fields, 3, "key")
    writer.append(0, {"scores": np.zeros(1, np.float32)})
    assert writer.left(range(3)) == range(1, 3)
    with pytest.raises(DataError, match="shard must have an entry an image, got 1 for 3 images"):
        writer.close_shard(range(3))
