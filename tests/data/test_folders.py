import os
from pathlib import Path

import pytest

from detector.data.folders import (
    FileIndex,
    class_folders,
    find_list,
    is_file,
    is_folder,
    require_file_name,
    require_folder,
    walk_files,
)
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
    with pytest.raises(
        DataError, match=r"^'elsewhere/b' must be one file, got 2, such as .*/x/b\.jpg and .*/y/b\.jpg$"
    ):
        index.find("elsewhere/b")


def test_the_end_of_a_path_tells_files_of_one_name_apart(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("one/x/a.jpg", "one/y/a.jpg", "two/b.jpg", "three/b.jpg")))
    index = FileIndex([tmp_path / "one"], (".jpg",))
    assert index.find("one/x/a") == str(tmp_path / "one" / "x" / "a.jpg")
    assert index.find("data/one/y/a") == str(tmp_path / "one" / "y" / "a.jpg")
    assert FileIndex([tmp_path], (".jpg",)).find("y/a") == str(tmp_path / "one" / "y" / "a.jpg")
    index = FileIndex([tmp_path / "two", tmp_path / "three"], (".jpg",))
    assert index.find("three/b") == str(tmp_path / "three" / "b.jpg")
    assert index.find("b") == index.find("elsewhere/b") == str(tmp_path / "two" / "b.jpg")


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


def walked(folder: Path) -> list[str]:
    """The files that are found, as paths below `folder`."""
    return [str((Path(where) / name).relative_to(folder)) for where, names in walk_files(folder) for name in names]


def test_a_name_with_its_suffix_is_that_file_s_among_those_that_differ_in_suffix(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a.jpg", "a.png", "a.jpg.jpg", "x/b.v2.JPG", "c.txt")))
    index = FileIndex([tmp_path], (".jpg", ".png"))
    assert index.find_named("a.jpg") == ("a", str(tmp_path / "a.jpg"))
    assert index.find_named("a.png") == ("a", str(tmp_path / "a.png"))
    assert index.find_named("a.jpg.jpg") == ("a.jpg", str(tmp_path / "a.jpg.jpg"))
    assert index.find_named("b.v2.jpg") == ("x/b.v2", str(tmp_path / "x" / "b.v2.JPG"))
    assert [index.find_named(name) for name in ("a", "a.gif", "b.v2", "c.txt", "d.jpg")] == [None] * 5
    assert index.rivals("a") == [str(tmp_path / "a.jpg"), str(tmp_path / "a.png")]
    assert index.rivals("a.jpg") == []


def test_files_of_one_name_in_two_folders_are_no_rivals(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.jpg")
    assert FileIndex([tmp_path / "x", tmp_path / "y"], (".jpg",)).rivals("a") == []


def test_hidden_files_and_folders_are_left_out_at_every_depth(tmp_path: Path) -> None:
    root = tmp_path / ".data"  # the folder itself may be hidden
    touch(
        root / "a.jpg", root / ".b.jpg", root / ".ipynb_checkpoints" / "a.jpg", root / "x" / ".y" / "z" / "c.jpg"
    )
    assert walked(root) == ["a.jpg"]
    assert FileIndex([root], (".jpg",)).ids() == ["a"]


def test_a_link_to_a_folder_above_shows_no_file_again(tmp_path: Path) -> None:
    touch(tmp_path / "data" / "x" / "a.jpg", tmp_path / "other" / "b.jpg")
    (tmp_path / "data" / "x" / "self").symlink_to(".")
    (tmp_path / "data" / "x" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "above").symlink_to(tmp_path)
    assert walked(tmp_path / "data") == ["x/a.jpg"]


def test_a_link_to_another_folder_is_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "disk" / "one" / "a.jpg", tmp_path / "data" / "z" / "b.jpg")
    (tmp_path / "disk" / "one" / "back").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "first").symlink_to(tmp_path / "disk")
    (tmp_path / "data" / "second").symlink_to(tmp_path / "disk")
    (tmp_path / "data" / "beside").symlink_to(tmp_path / "data" / "z")
    assert walked(tmp_path / "data") == ["z/b.jpg", "first/one/a.jpg"]
    (tmp_path / "entry").symlink_to(tmp_path / "data" / "z")
    assert walked(tmp_path / "entry") == ["b.jpg"]


def test_links_that_lead_nowhere_are_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert walked(tmp_path) == ["gone.jpg", "loop.jpg"]
    assert not is_file(tmp_path / "loop.jpg")


def test_a_deep_tree_is_read_to_its_end(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(1200):  # more than Python's own calls may nest
        deep /= "d"
        deep.mkdir()
    touch(deep / "a.jpg")
    assert len(walked(tmp_path)) == 1
    (deep / "a.jpg").unlink()
    while deep != tmp_path:  # who removes the test's folder would stumble over its depth
        deep.rmdir()
        deep = deep.parent


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="all folders can be read here")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir(mode=0)
    with pytest.raises(DataError, match=r"folder must be readable, got .*/x \(Permission denied\)"):
        walked(tmp_path)


def test_class_folders_are_visible_and_not_above(tmp_path: Path) -> None:
    touch(
        tmp_path / "train" / "dog" / "a.jpg", tmp_path / "train" / "b.jpg", tmp_path / "train" / ".git" / "c.jpg"
    )
    (tmp_path / "train" / "cat").symlink_to(tmp_path / "train" / "dog")
    (tmp_path / "train" / "here").symlink_to(".")
    (tmp_path / "train" / "up").symlink_to("..")
    assert class_folders(tmp_path / "train") == (["cat", "dog"], ["b.jpg"])


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "x/" * 3000])
def test_nothing_can_be_called_so(tmp_path: Path, name: str) -> None:
    assert not is_file(tmp_path / name)
    assert not is_folder(tmp_path / name)
    assert find_list(tmp_path, name, (tmp_path,)) is None
    with pytest.raises(DataError, match=r"^data\.root must be a folder, got "):
        require_folder(tmp_path / name, "data.root")


@pytest.mark.parametrize(
    "name", ["a.jpg", "x/a b.jpg", "...", "a..b/c", "./a", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\udce9.jpg"]
)
def test_names_of_files_below_a_folder_are_allowed(name: str) -> None:
    assert require_file_name(name, False, "file_name", "here") == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "file_name must be the name of a file, got '' (here)"),
        (" ", "file_name must be the name of a file, got ' ' (here)"),
        (None, "file_name must be the name of a file, got None (here)"),
        (5, "file_name must be the name of a file, got 5 (here)"),
        ("a\nb", r"file_name must be the name of a file in one printable line, got 'a\nb' (here)"),
        ("a\0", r"file_name must be the name of a file in one printable line, got 'a\x00' (here)"),
        ("\ud800", r"file_name must be the name of a file in one printable line, got '\ud800' (here)"),
        ("x/" * 2500, "file_name must be the name of a file in one printable line, got 'x/x/"),
        (
            "/etc/passwd",
            "file_name must be a path inside its folder, got '/etc/passwd' (here; data.outside_root=allow",
        ),
        ("../a", "file_name must be a path inside its folder, got '../a' (here; "),
        ("a/../../b", "file_name must be a path inside its folder, got 'a/../../b' (here; "),
        ("a/..", "file_name must be a path inside its folder, got 'a/..' (here; "),
    ],
)
def test_a_name_that_no_file_of_the_data_can_have_is_refused(name: object, message: str) -> None:
    with pytest.raises(DataError) as caught:
        require_file_name(name, False, "file_name", "here")
    assert str(caught.value).startswith(message)


def test_paths_outside_are_allowed_where_the_user_says_so() -> None:
    assert require_file_name("/data/../a.jpg", True, "file_name", "here") == "/data/../a.jpg"
    with pytest.raises(DataError, match="printable line"):
        require_file_name("/data/a\n", True, "file_name", "here")


def test_what_is_no_file_is_found_to_be_told_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "link.txt").symlink_to("gone")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link"):
        assert find_list(tmp_path, name, (tmp_path,)) == tmp_path / f"{name}.txt"
    assert find_list(tmp_path, "folder", (tmp_path,)) is None


def test_file_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a")
    assert require_folder(tmp_path, "data.root") == tmp_path
    with pytest.raises(DataError, match=r"^data\.root must be a folder, got .*/a$"):
        require_folder(tmp_path / "a", "data.root")
