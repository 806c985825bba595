import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from trees import side_by_side, write_annotation, write_image

from detector.config import DataSettings
from detector.data.classes import ClassList
from detector.data.dataset import Dataset
from detector.data.formats import assembly, index_cache
from detector.data.formats import xml_annotations as annotations
from detector.data.formats.index_cache import cache_folder, cached
from detector.data.images import ImageHeaders
from detector.data.readers import read_split
from detector.errors import DataError
from detector.records import Array

CAT, DOG = ("cat", (11, 11, 30, 30)), ("dog", (5, 5, 20, 20))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache, which is used from two files on."""
    monkeypatch.setattr(index_cache, "MIN_FILES", 2)
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


class Reader:
    """Counts how often the files are read."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays
        self.reads = 0

    def __call__(self) -> dict[str, Array]:
        self.reads += 1
        return dict(self.arrays)


def texts(folder: Path, *contents: str) -> list[str]:
    """The paths of files with these contents."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.txt" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    return [str(path) for path in paths]


def test_unchanged_files_are_read_once(kept: Path, tmp_path: Path) -> None:
    paths = [*texts(tmp_path, "a", "b"), "", str(tmp_path / "gone")]
    read = Reader(
        {"sizes": np.arange(6).reshape(3, 2), "names": np.array(["n01", "żółw"]), "no": np.empty((0, 4))}
    )
    for _ in range(3):
        arrays = cached("things", ("ignore",), paths, read)
        assert arrays.keys() == read.arrays.keys()
        for name, array in read.arrays.items():
            np.testing.assert_array_equal(arrays[name], array)
            assert arrays[name].dtype == array.dtype
    assert read.reads == 1
    assert [path.suffix for path in kept.iterdir()] == [".npz"]


def grow(path: Path) -> None:
    path.write_text("longer")


def touch(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def shrink_in_the_same_moment(path: Path) -> None:
    status = path.stat()
    path.write_text("")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [grow, touch, shrink_in_the_same_moment, Path.unlink])
def test_a_changed_file_is_noticed(kept: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    paths = texts(tmp_path, "a", "b", "c")
    read = Reader({"x": np.zeros(1)})
    cached("things", (), paths, read)
    change(Path(paths[1]))
    cached("things", (), paths, read)
    cached("things", (), paths, read)
    assert read.reads == 2
    assert len(list(kept.iterdir())) == 1  # the old entry is replaced


def test_other_files_settings_orders_and_kinds_are_entries_of_their_own(kept: Path, tmp_path: Path) -> None:
    paths = texts(tmp_path, "a", "b", "c")
    read = Reader({"x": np.zeros(1)})
    for _ in range(2):
        cached("things", (), paths, read)
        cached("things", (), paths[:2], read)
        cached("things", (), paths[::-1], read)
        cached("things", ("apply",), paths, read)
        cached("others", (), paths, read)
    assert read.reads == len(list(kept.iterdir())) == 5


def test_an_entry_of_another_kind_is_not_taken_for_this_one(kept: Path, tmp_path: Path) -> None:
    paths = texts(tmp_path, "a", "b")
    reads = [Reader({"x": np.zeros(1)}), Reader({"y": np.ones(1)})]
    cached("things", (), paths, reads[0])
    cached("others", (), paths, reads[1])
    things, others = sorted(kept.iterdir(), reverse=True)
    things.write_bytes(others.read_bytes())
    assert list(cached("things", (), paths, reads[0])) == ["x"]
    assert reads[0].reads == 2


def test_a_missing_file_that_appears_is_noticed(kept: Path, tmp_path: Path) -> None:
    paths = texts(tmp_path, "a", "b")
    Path(paths[0]).unlink()
    read = Reader({"x": np.zeros(1)})
    cached("things", (), paths, read)
    texts(tmp_path, "a")
    cached("things", (), paths, read)
    assert read.reads == 2


def test_few_files_and_an_empty_variable_keep_nothing(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = texts(tmp_path, "a", "b")
    read = Reader({"x": np.zeros(1)})
    cached("things", (), paths[:1], read)
    monkeypatch.setenv("DETECTOR_CACHE", "")
    cached("things", (), paths, read)
    assert read.reads == 2
    assert not kept.exists()


def test_a_folder_that_cannot_be_written_is_no_error(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = texts(tmp_path, "a", "b")
    monkeypatch.setenv("DETECTOR_CACHE", f"{paths[0]}/under a file")
    read = Reader({"x": np.zeros(1)})
    for _ in range(2):
        assert cached("things", (), paths, read)["x"].tolist() == [0]
    assert read.reads == 2


def test_a_damaged_entry_is_read_anew(kept: Path, tmp_path: Path) -> None:
    paths = texts(tmp_path, "a", "b")
    read = Reader({"x": np.arange(100)})
    cached("things", (), paths, read)
    (entry,) = kept.iterdir()
    whole = entry.read_bytes()
    damages = [
        b"",
        b"no zip",
        *(whole[:length] for length in range(10, len(whole), 97)),
        whole.replace(b"\x05", b"\x06"),
    ]
    for number, content in enumerate(damages, 2):
        entry.write_bytes(content)
        np.testing.assert_array_equal(cached("things", (), paths, read)["x"], np.arange(100))
        assert read.reads == number
    assert entry.read_bytes() == whole


def test_nothing_is_kept_when_reading_fails(kept: Path, tmp_path: Path) -> None:
    def fail() -> dict[str, Array]:
        raise DataError("annotation must be well-formed XML")

    with pytest.raises(DataError, match="well-formed"):
        cached("things", (), texts(tmp_path, "a", "b"), fail)
    assert not kept.exists()


def test_what_could_not_be_read_is_not_kept(kept: Path, tmp_path: Path) -> None:
    read = Reader({"x": np.zeros(1), "errors": np.array(["lost"])})
    paths = texts(tmp_path, "a", "b")
    assert cached("things", (), paths, read)["errors"].tolist() == ["lost"]
    read.arrays = {"x": np.ones(1), "errors": np.array([], np.str_)}
    for _ in range(2):
        assert cached("things", (), paths, read)["x"].tolist() == [1]
    assert read.reads == 2


def test_the_cache_is_in_the_users_folder_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DETECTOR_CACHE")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/someone/.cache/googlenet-detector")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/googlenet-detector")
    monkeypatch.setenv("DETECTOR_CACHE", "/mine")
    assert cache_folder() == Path("/mine")


def read(root: Path, bad_images: str = "stop") -> Dataset:
    settings = DataSettings.model_validate({"format": "voc", "root": root, "bad_images": bad_images})
    return read_split(settings, "train", ClassList(("cat", "dog")))


def check_equal(one: Dataset, other: Dataset) -> None:
    assert one.notes == other.notes
    for name in ("image_ids", "paths", "sizes", "complete", "indices"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("image", "boxes", "labels", "difficult", "areas"):
        np.testing.assert_array_equal(getattr(one.objects, name), getattr(other.objects, name))


def test_a_data_set_opens_the_second_time_without_its_files_being_read(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = side_by_side(tmp_path / "data", "train", a=[CAT], b=[], c=[DOG, CAT])
    write_annotation(root / "train" / "b.xml", DOG, height=80, width=120)  # rescaled: a note
    before = read(root)
    with monkeypatch.context() as patch:
        patch.setattr(annotations, "read_bytes", None)
        patch.setattr("detector.data.images.read_header", None)
        check_equal(read(root), before)
    write_annotation(root / "train" / "a.xml", DOG, CAT)
    write_image(root / "train" / "c.jpg", height=50)
    after = read(root)
    assert after.objects.labels.tolist() == [2, 1, 2, 2, 1]
    assert after.sizes[:, 0].tolist() == [40, 40, 50]


def test_added_and_removed_images_are_noticed(kept: Path, tmp_path: Path) -> None:
    root = side_by_side(tmp_path, "train", a=[CAT], b=[DOG])
    assert len(read(root)) == 2
    side_by_side(tmp_path, "train", c=[DOG, DOG])
    assert read(root).objects.labels.tolist() == [1, 2, 2, 2]
    (root / "train" / "a.xml").unlink()
    assert read(root).image_ids.tolist() == ["b", "c"]


def test_unreadable_images_are_tried_at_every_start(kept: Path, tmp_path: Path) -> None:
    root = side_by_side(tmp_path, "train", a=[CAT], b=[DOG], c=[CAT])
    broken = root / "train" / "b.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-200])
    for _ in range(2):
        with pytest.raises(DataError, match=r"whole, readable file, got .*b\.jpg"):
            read(root)
        assert read(root, "skip").image_ids.tolist() == ["a", "c"]
    assert "images cannot be read" in read(root, "skip").notes[1]
    broken.write_bytes(whole)
    assert len(read(root)) == 3


def lost(paths: Sequence[str]) -> ImageHeaders:
    return ImageHeaders(np.zeros((len(paths), 2), np.int64), np.ones(len(paths), np.int64), {0: "lost"})


def test_an_image_that_a_failing_disk_hid_is_found_again(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = side_by_side(tmp_path, "train", a=[CAT], b=[DOG])
    with monkeypatch.context() as patch:
        patch.setattr(assembly, "read_headers", lost)
        with pytest.raises(DataError, match="lost"):
            read(root)
    assert read(root).sizes.tolist() == [[40, 60]] * 2


def test_broken_annotations_are_an_error_at_every_start(kept: Path, tmp_path: Path) -> None:
    root = side_by_side(tmp_path, "train", a=[CAT], b=[DOG])
    (root / "train" / "b.xml").write_text("<annotation>")
    for _ in range(2):
        with pytest.raises(DataError, match=r"well-formed XML.*b\.xml"):
            read(root)


def test_what_killed_processes_left_goes_after_a_day(kept: Path, tmp_path: Path) -> None:
    kept.mkdir()
    old, new = kept / ".voc-1.npz.abcd_123.tmp", kept / ".voc-2.npz.abcd_123.tmp"
    for path, hours in ((old, 25), (new, 23)):
        path.touch()
        os.utime(path, (time.time() - hours * 3600,) * 2)
    cached("things", (), texts(tmp_path, "a", "b"), Reader({"n": np.arange(3)}))
    assert not old.exists()
    assert new.exists()
