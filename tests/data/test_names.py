from collections.abc import Sequence
from pathlib import Path

import pytest
from trees import write_lines

from detector.data.folders import IMAGE_SUFFIXES, XML_SUFFIXES, FileIndex
from detector.data.names import FileNames, KnownIds, ListLine, read_names, stem_of
from detector.errors import DataError


def read(folder: Path, files: Sequence[str], *lines: str, outside: bool = False) -> list[tuple[str, str]]:
    """The ids and the rest of each line of a list, where the data hold `files`."""
    for name in files:
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    names = FileNames(*(FileIndex([folder / "data"], suffixes) for suffixes in (IMAGE_SUFFIXES, XML_SUFFIXES)))
    found = read_names(write_lines(folder / "list.txt", *lines), names, outside)
    return [(line.image_id, line.rest) for line in found]


@pytest.mark.parametrize(
    ("files", "line", "found"),
    [
        (["b.jpg", "b 2.jpg"], "b 2", ("b 2", "")),
        (["b.jpg", "b 2.jpg"], "b 2.jpg", ("b 2", "")),
        (["b.jpg"], "b 2", ("b", "2")),
        (["b.jpg"], "b.jpg 2", ("b", "2")),
        (["b.jpg"], "b.JPG  -1", ("b", "-1")),
        (["b.jpg", "b 2.jpg"], "b 2 7", ("b 2", "7")),
        (["b 2 7.xml", "b 2.xml"], "b 2 7", ("b 2 7", "")),
        (["img (1).jpg"], "img (1)", ("img (1)", "")),
        (["img.jpg"], "img (1)", ("img", "(1)")),
        (["a.jpg.jpg"], "a.jpg", ("a.jpg", "")),
        (["a.jpg.jpg"], "a.jpg.jpg", ("a.jpg", "")),
        (["Screenshot at 9.41.00 AM.png"], "Screenshot at 9.41.00 AM.png", ("Screenshot at 9.41.00 AM", "")),
        (["Screenshot at 9.41.00 AM.png"], "Screenshot at 9.41.00 AM", ("Screenshot at 9.41.00 AM", "")),
        (["img.v2.jpg"], "img.v2", ("img.v2", "")),
        (["img.v2.jpg"], "img.v2.jpg 1", ("img.v2", "1")),
        (["x/a.jpg"], "x/a.jpg", ("x/a", "")),
        (["x/a.jpg"], "elsewhere/a.jpg", ("elsewhere/a", "")),
        (["a.xml"], "a.xml", ("a", "")),
        ([" a.jpg"], " a", (" a", "")),
        (["a.jpg"], "  a\t", ("a", "")),
        (["a\u00a0b.jpg"], "a\u00a0b", ("a\u00a0b", "")),
        ([], "a b", ("a", "b")),
        (["x/a.jpg", "y/a.jpg"], "y\\a.jpg", ("y/a", "")),
        (["x/a.jpg", "y/a.jpg"], "C:\\data\\y\\a.jpg 7", ("C:/data/y/a", "7")),
        (["my.jpg", "my set/a.jpg"], "my set\\a.jpg", ("my set/a", "")),
        (["x/a.jpg", "x\\a.jpg"], "x\\a.jpg", ("x\\a", "")),
        ([], "x\\a.jpg", ("x\\a.jpg", "")),
    ],
)
def test_a_line_that_names_a_file_is_that_name_else_its_first_word(
    tmp_path: Path, files: list[str], line: str, found: tuple[str, str]
) -> None:
    assert read(tmp_path, files, line) == [found]


def test_a_list_whose_every_line_has_a_suffix_means_the_files_themselves(tmp_path: Path) -> None:
    files = ["a.jpg", "a.jpg.jpg", "b.png"]
    assert read(tmp_path, files, "a.jpg", "b.png 1") == [("a", ""), ("b", "1")]
    assert read(tmp_path, files, "a.jpg", "a.jpg.jpg") == [("a", ""), ("a.jpg", "")]
    assert read(tmp_path, files, "a.jpg", "a") == [("a.jpg", ""), ("a", "")]  # names without suffixes
    assert read(tmp_path, files, "b.png", "a") == [("b", ""), ("a", "")]


def test_lines_are_numbered_and_blank_ones_left_out(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfa 1\r\n\r\n \t\r\nb")
    assert read_names(path, None) == [
        ListLine(1, "a 1", "a", "1", "a", False),
        ListLine(4, "b", "b", "", "b", False),
    ]


def test_known_ids_serve_as_names(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "list.txt", "b 2 1", "b 1", "c 1")
    lines = read_names(path, KnownIds(frozenset({"b", "b 2"})))
    assert [(line.image_id, line.rest, line.found) for line in lines] == [
        ("b 2", "1", True),
        ("b", "1", True),
        ("c", "1", False),
    ]


def test_a_name_that_several_folders_have_is_told_with_its_line(tmp_path: Path) -> None:
    files = ["x/a.jpg", "y/a.jpg"]
    assert read(tmp_path, files, "x/a", "y/a") == [("x/a", ""), ("y/a", "")]
    with pytest.raises(DataError, match=r"^'a' must be one file, got 2, such as .* \(.*list\.txt:2\)$"):
        read(tmp_path, files, "x/a", "a")


@pytest.mark.parametrize("line", ["/etc/passwd", "../a", "x/../../a 1", "/data/a.jpg"])
def test_a_name_that_leads_out_of_the_data_is_refused_unless_allowed(tmp_path: Path, line: str) -> None:
    wanted = rf"^image of a list must be a path inside its folder, got '{line.split()[0]}' \(.*list\.txt:1; data\."
    with pytest.raises(DataError, match=wanted):
        read(tmp_path, ["a.jpg"], line)
    assert len(read(tmp_path, ["a.jpg"], line, outside=True)) == 1


@pytest.mark.parametrize("line", ["a\0", "a\x1b[2J"])
def test_a_name_with_control_characters_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(
        DataError, match=r"must be the name of a file in one printable line, got 'a\\x.*list\.txt:2\)$"
    ):
        read(tmp_path, ["a.jpg"], "a", line)


def test_only_the_suffixes_of_images_and_annotations_are_suffixes() -> None:
    assert [stem_of(name) for name in ("a.JPG", "x.y/a.b.png", "a.xml", "a.v2", "a", ".jpg")] == [
        "a",
        "x.y/a.b",
        "a",
        None,
        None,
        None,
    ]
