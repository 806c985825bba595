from pathlib import Path

import pytest

from detector.data.folders import FileIndex, find_list, require_folder
from detector.errors import DataError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_are_found_by_path_without_suffix(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "a.JPEG", tmp_path / "b.v2.jpg", tmp_path / "notes.txt", tmp_path / "._b.v2.jpg")
    index = FileIndex([tmp_path], (".jpeg", ".jpg"))
    assert index.ids() == ["b.v2", "x/a"]
    assert len(index) == 2
    assert index.find("x/a") == str(tmp_path / "x" / "a.JPEG")
    assert index.find("notes") is None


def test_name_alone_finds_a_file_unless_two_have_it(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "a.jpg", tmp_path / "x" / "b.jpg", tmp_path / "y" / "b.jpg")
    index = FileIndex([tmp_path], (".jpg",))
    assert index.find("elsewhere/a") == str(tmp_path / "x" / "a.jpg")
    assert index.find("y/b") == str(tmp_path / "y" / "b.jpg")
    assert index.find("elsewhere/b") is None


def test_earlier_folder_and_then_earlier_suffix_count(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "a.png", tmp_path / "y" / "a.jpg", tmp_path / "x" / "a.gif")
    index = FileIndex([tmp_path / "x", tmp_path / "y"], (".jpg", ".png", ".gif"))
    assert index.find("a") == str(tmp_path / "x" / "a.png")


def test_missing_folder_has_no_files(tmp_path: Path) -> None:
    assert len(FileIndex([tmp_path / "gone"], (".jpg",))) == 0


def test_list_is_looked_for_in_the_folders_then_at_the_root_then_as_it_stands(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    touch(tmp_path / "sets" / "val.txt", tmp_path / "mine.txt", own)
    folders = (tmp_path / "sets",)
    assert find_list(tmp_path, "val", folders) == tmp_path / "sets" / "val.txt"
    assert find_list(tmp_path, "val.txt", folders) == tmp_path / "sets" / "val.txt"
    assert find_list(tmp_path, "mine.txt", folders) == tmp_path / "mine.txt"
    assert find_list(tmp_path / "sets", str(own), folders) == own
    assert find_list(tmp_path, "gone", folders) is None


def test_file_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a")
    assert require_folder(tmp_path, "data.root") == tmp_path
    with pytest.raises(DataError, match=r"^data\.root must be a folder, got .*/a$"):
        require_folder(tmp_path / "a", "data.root")
