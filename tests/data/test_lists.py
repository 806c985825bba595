from pathlib import Path

import numpy as np
import pytest
from trees import write_lines

from detector.data.classes import ClassList, ilsvrc_det_classes
from detector.data.lists import read_blacklist, read_image_list
from detector.data.names import KnownIds
from detector.errors import DataError

CLASSES = ClassList(("cat", "dog"), ("n01", "n02"))


def test_image_list_gives_names_and_indices_in_its_order(tmp_path: Path) -> None:
    ids, indices = read_image_list(write_lines(tmp_path / "val.txt", "b 7", "", "a 3"))
    assert ids == ["b", "a"]
    assert indices.tolist() == [7, 3]
    assert indices.dtype == np.int64


def test_image_list_without_indices_is_counted_from_one(tmp_path: Path) -> None:
    ids, indices = read_image_list(write_lines(tmp_path / "val.txt", "x/b", "a"))
    assert ids == ["x/b", "a"]
    assert indices.tolist() == [1, 2]


def test_names_that_hold_blanks_are_told_from_name_and_index_by_the_images_there_are(tmp_path: Path) -> None:
    names = KnownIds(frozenset({"b", "b 2", "c d"}))
    ids, indices = read_image_list(write_lines(tmp_path / "val.txt", "b 2", "b", "c d"), names)
    assert ids == ["b 2", "b", "c d"]
    assert indices.tolist() == [1, 2, 3]
    ids, indices = read_image_list(write_lines(tmp_path / "val.txt", "b 2 5", "b 7", "c d 1"), names)
    assert ids == ["b 2", "b", "c d"]
    assert indices.tolist() == [5, 7, 1]
    with pytest.raises(DataError, match=r"val\.txt:2 must read <name> <index> as the others, got 'b 2'"):
        read_image_list(write_lines(tmp_path / "val.txt", "b 7", "b 2"), names)  # the second is the image b 2


def test_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    path.write_bytes(b"\xef\xbb\xbfa 1\r\nb 2\r\n")
    assert read_image_list(path)[0] == ["a", "b"]


def test_empty_image_list_is_empty(tmp_path: Path) -> None:
    ids, indices = read_image_list(write_lines(tmp_path / "val.txt"))
    assert ids == []
    assert indices.shape == (0,)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("a 1", "b 2", "a 3"), "val.txt:3 must differ from the lines before, got 'a' as in line 1"),
        (("a 1", "", "b 1"), "val.txt:3 must differ from the lines before, got 1 as in line 1"),
        (("a", "a"), "val.txt:2 must differ"),
        (("a 0",), "val.txt:1 must have an image index from 1, got '0'"),
        (("a 1", "b -2"), "val.txt:2 must have an image index from 1, got '-2'"),
        (("a 1.5",), "val.txt:1 must have an image index"),
        (("a 99999999999999999999",), "val.txt:1 must have an image index"),
        (("a " + "9" * 5000,), "val.txt:1 must have an image index from 1, got '999"),
        (("a 1_0",), "val.txt:1 must have an image index from 1, got '1_0'"),
        (("a \u0661",), "val.txt:1 must have an image index from 1"),
        (("a 1", "# a comment"), "val.txt:2 must read <name> <index> as the others, got '# a comment'"),
        (("a 1", "b"), "val.txt:2 must read <name> <index>"),
        (("a", "b 2"), "val.txt:2 must read <name> <index>"),
        (("a 1 2",), "val.txt:1 must read <name> <index>"),
    ],
)
def test_wrong_line_of_an_image_list_is_named(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_image_list(write_lines(tmp_path / "val.txt", *lines))
    assert message in str(caught.value)


def test_list_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"readable file, got .*gone\.txt"):
        read_image_list(tmp_path / "gone.txt")
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"list must be a readable file, got .*x\.txt \(it is not UTF-8"):
        read_image_list(tmp_path / "x.txt")


def test_blacklist_rows_are_positions_and_labels(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "black.txt", "7 n02", "3 n01", "7 n01", "7 n02")
    assert read_blacklist(path, np.array([3, 7]), CLASSES).tolist() == [[1, 2], [0, 1], [1, 1]]


def test_blacklist_may_call_a_class_by_a_name_with_blanks(tmp_path: Path) -> None:
    classes = ClassList(("polar bear", "dog"), ("n01", "n02"))
    path = write_lines(tmp_path / "black.txt", "7 polar bear", "3\tdog ")
    assert read_blacklist(path, np.array([3, 7]), classes).tolist() == [[1, 1], [0, 2]]


def test_blacklisted_images_outside_the_split_are_left_out(tmp_path: Path) -> None:
    rows = read_blacklist(write_lines(tmp_path / "black.txt", "8 n02"), np.array([3, 7]), CLASSES)
    assert rows.shape == (0, 2)
    assert rows.dtype == np.int64


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7 n09", "black.txt:2 must name a class of the list, got 'n09'"),
        ("x n01", "black.txt:2 must have an image index from 1, got 'x'"),
        ("7", "black.txt:2 must read <image index> <wnid>, got '7'"),
    ],
)
def test_wrong_line_of_a_blacklist_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_blacklist(write_lines(tmp_path / "black.txt", "1 n01", line), np.array([1]), CLASSES)
    assert message in str(caught.value)


@pytest.mark.shared
def test_official_lists_are_read(shared: Path) -> None:
    folder = shared / "data" / "ilsvrc_det_lists"
    val, indices = read_image_list(folder / "val.txt")
    assert len(val) == 20_121
    np.testing.assert_array_equal(indices, np.arange(1, 20_122))
    val2, indices2 = read_image_list(folder / "val2.txt")
    assert len(val2) == 9_917
    assert [val[index - 1] for index in indices2] == val2
    blacklist = folder / "det_validation_blacklist.txt"
    assert len(read_blacklist(blacklist, indices, ilsvrc_det_classes())) == 409
    some = np.array([46, 85])
    assert read_blacklist(blacklist, some, ilsvrc_det_classes())[:, 0].tolist() == [0, 1]
