from pathlib import Path

import numpy as np
import pytest
from trees import write_lines

from detector.data.classes import ClassList, ilsvrc_det_classes
from detector.data.formats.train_lists import TrainLists, completeness_of, draw_positives, read_train_lists
from detector.data.names import KnownIds
from detector.errors import DataError

CLASSES = ClassList(("cat", "dog"), ("n01", "n02"))


def read(folder: Path, classes: ClassList = CLASSES) -> TrainLists:
    lists = read_train_lists(folder, classes)
    assert lists is not None
    return lists


def check_the_lists_of_a_to_d(lists: TrainLists) -> None:
    assert lists.ids == ["a", "b", "c", "d"]
    # c is not listed for class 2, d is partial for class 1
    assert lists.complete.tolist() == [[True, True], [True, True], [True, False], [False, True]]
    assert [rows.tolist() for rows in lists.positives] == [[1, 2], [0]]


def test_lists_of_2015_tell_positives_and_completeness(tmp_path: Path) -> None:
    write_lines(tmp_path / "train_1.txt", "b 1", "a -1", "c 1", "d 0")
    write_lines(tmp_path / "train_2.txt", "a 1", "b -1", "d -1")
    write_lines(tmp_path / "train_small.txt", "another kind of list")
    check_the_lists_of_a_to_d(read(tmp_path))


def test_lists_of_2014_tell_the_same(tmp_path: Path) -> None:
    write_lines(tmp_path / "train_pos_1.txt", "b", "c")
    write_lines(tmp_path / "train_neg_1.txt", "a")
    write_lines(tmp_path / "train_part_1.txt", "d")
    write_lines(tmp_path / "train_pos_2.txt", "a")
    write_lines(tmp_path / "train_neg_2.txt", "b", "d")
    write_lines(tmp_path / "train_part_2.txt")
    check_the_lists_of_a_to_d(read(tmp_path))


def test_image_listed_as_partial_too_is_not_complete(tmp_path: Path) -> None:
    write_lines(tmp_path / "train_1.txt", "a 0", "a 1", "b 1", "b 0", "c 1", "c 1")
    lists = read(tmp_path)
    assert lists.complete[:, 0].tolist() == [False, False, True]
    assert lists.positives[0].tolist() == [0, 1, 2]


def test_class_without_lists_has_no_positives_and_is_complete_nowhere(tmp_path: Path) -> None:
    write_lines(tmp_path / "train_2.txt", "a 1")
    lists = read(tmp_path)
    assert lists.complete.tolist() == [[False, True]]
    assert [rows.tolist() for rows in lists.positives] == [[], [0]]


def test_folder_without_train_lists_has_none(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.txt", "a 1")
    assert read_train_lists(tmp_path, CLASSES) is None


def test_empty_lists_are_lists_of_no_images(tmp_path: Path) -> None:
    write_lines(tmp_path / "train_1.txt")
    lists = read(tmp_path)
    assert lists.complete.shape == (0, 2)
    assert len(draw_positives(lists, 5)) == 0
    assert completeness_of(["a"], lists).tolist() == [[False, False]]


def test_official_classes_in_another_order_keep_the_numbers_of_their_lists(tmp_path: Path) -> None:
    write_lines(tmp_path / "train_1.txt", "a 1")
    known = ilsvrc_det_classes()
    assert read(tmp_path, known).complete[0].nonzero()[0].tolist() == [0]
    turned = ClassList(known.names[::-1], known.wnids[::-1])
    assert read(tmp_path, turned).complete[0].nonzero()[0].tolist() == [199]


def test_list_of_a_class_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "train_03.txt", "a 1")
    with pytest.raises(DataError) as caught:
        read_train_lists(tmp_path, CLASSES)
    assert str(caught.value) == f"list of training images must be of a class in 1..2, got 03 ({path})"


@pytest.mark.parametrize("line", ["a 2", "a", "a 1 1", "b c -1", "1", "a 1.0"])
def test_wrong_line_of_a_train_list_is_named(tmp_path: Path, line: str) -> None:
    path = write_lines(tmp_path / "train_1.txt", "b 1", line, "c 1")
    with pytest.raises(DataError) as caught:
        read_train_lists(tmp_path, CLASSES)
    assert f"{path}:2 must read <image id> <1, 0 or -1>, got {line!r}" in str(caught.value)


@pytest.mark.parametrize("line", ["a 1", "a b"])
def test_wrong_line_of_a_list_without_flags_is_named(tmp_path: Path, line: str) -> None:
    path = write_lines(tmp_path / "train_pos_1.txt", "b", "", line)
    with pytest.raises(DataError) as caught:
        read_train_lists(tmp_path, CLASSES)
    assert str(caught.value) == f"{path}:3 must read <image id>, got {line!r}"


def test_names_may_hold_blanks_and_suffixes_where_there_are_such_images(tmp_path: Path) -> None:
    names = KnownIds(frozenset({"b", "b 2", "v.2"}))
    write_lines(tmp_path / "train_1.txt", "b 1", "b 2 -1", "", "v.2 0")
    write_lines(tmp_path / "train_neg_2.txt", "b 2", "b")
    lists = read_train_lists(tmp_path, CLASSES, names)
    assert lists is not None
    assert lists.ids == ["b", "b 2", "v.2"]
    assert lists.complete.tolist() == [[True, True], [True, True], [False, False]]
    assert [rows.tolist() for rows in lists.positives] == [[0], []]


@pytest.mark.parametrize("name", ["/etc/a", "../a", "x/../y"])
def test_a_name_that_leads_out_of_the_data_is_refused(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / "train_1.txt", "b 1", f"{name} 1")
    with pytest.raises(DataError, match=rf"must be a path inside its folder, got '{name}' \({path}:2; "):
        read_train_lists(tmp_path, CLASSES)


def test_blank_lines_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "train_1.txt").write_bytes(b"\xef\xbb\xbf\r\nb 1\r\na\t-1 \r\nc 1\r\n\r\nd 0")
    write_lines(tmp_path / "train_2.txt", "a 1", "b -1", "d -1")
    check_the_lists_of_a_to_d(read(tmp_path))


def test_random_lists_say_what_their_lines_say(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    flags = random.integers(-1, 3, (30, 2))  # 2: not listed
    for label in (1, 2):
        rows = [row for row in random.permutation(30) if flags[row, label - 1] < 2]
        write_lines(tmp_path / f"train_{label}.txt", *(f"i{row:02} {flags[row, label - 1]}" for row in rows))
    lists = read(tmp_path)
    flags = flags[[int(image_id[1:]) for image_id in lists.ids]]
    np.testing.assert_array_equal(lists.complete, np.abs(flags) == 1)
    for label in (1, 2):
        assert lists.positives[label - 1].tolist() == np.flatnonzero(flags[:, label - 1] == 1).tolist()


def listed(*positives: list[int], images: int = 40) -> TrainLists:
    complete = np.zeros((images, len(positives)), np.bool_)
    return TrainLists(
        [f"{i:02}" for i in range(images)], complete, tuple(np.array(p, np.int64) for p in positives)
    )


def test_all_positives_are_drawn_where_a_class_has_no_more() -> None:
    assert draw_positives(listed([7, 9], [], [3, 7]), 2).tolist() == [3, 7, 9]


def test_smaller_draws_are_part_of_larger_ones_and_of_no_more_than_asked() -> None:
    lists = listed(list(range(30)), list(range(20, 40)))
    draws = [set(draw_positives(lists, most).tolist()) for most in (1, 5, 10, 30)]
    assert draws[0] < draws[1] < draws[2] < draws[3] == set(range(40))
    assert len(draws[1] & set(range(20))) <= 5
    assert 5 <= len(draws[1]) <= 10


def test_a_draw_is_the_same_each_time_and_differs_from_class_to_class() -> None:
    rows = list(range(40))
    assert draw_positives(listed(rows), 10).tolist() == draw_positives(listed(rows), 10).tolist()
    assert draw_positives(listed(rows), 10).tolist() != draw_positives(listed([], rows), 10).tolist()
    assert draw_positives(listed(rows), 10).tolist() != rows[:10]


def test_images_are_found_by_id_or_by_a_name_that_only_one_has() -> None:
    complete = np.array([[True], [True], [False], [True]])
    lists = TrainLists(["x/a", "x/b", "y/b", "z/c"], complete, (np.empty(0, np.int64),))
    found = completeness_of(["c", "x/b", "y/b", "b", "other/a", "d"], lists)
    assert found[:, 0].tolist() == [True, True, False, False, True, False]
    assert completeness_of([], lists).shape == (0, 1)
