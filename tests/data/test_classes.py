from pathlib import Path

import pytest
from trees import write_lines

from detector.data.classes import (
    ClassList,
    class_list,
    class_name,
    ilsvrc_det_classes,
    names_alike,
    read_classes,
    write_classes,
)
from detector.errors import DataError


def test_labels_count_from_one_and_know_names_and_wnids() -> None:
    classes = ClassList(("cat", "dog"), ("n01", "n02"))
    assert [classes.label(word) for word in ("cat", "dog", "n02", "bird")] == [1, 2, 2, None]
    assert classes.name(2) == "dog"
    assert len(classes) == 2


def test_category_ids_do_not_make_lists_differ() -> None:
    assert ClassList(("cat",), category_ids=(7,)) == ClassList(("cat",))
    assert ClassList(("cat",)) != ClassList(("dog",))


def test_message_about_an_unknown_class_offers_the_nearest() -> None:
    classes = ClassList(("cat", "dog"))
    assert classes.unknown("dgo", "x.xml") == (
        "class name must be in the class list, got 'dgo' (x.xml); did you mean 'dog'?"
    )
    assert classes.unknown("elephant", "x.xml").endswith("(x.xml)")


def test_lists_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(DataError, match="at least one class"):
        ClassList(())
    with pytest.raises(DataError, match="got 'cat' twice"):
        ClassList(("cat", "dog", "cat"))
    with pytest.raises(DataError, match="a WNID a name, got 1 for 2"):
        ClassList(("cat", "dog"), ("n01",))


def test_official_list_has_200_classes_and_bow_tie_before_bow() -> None:
    classes = ilsvrc_det_classes()
    assert len(classes) == 200
    assert classes.label("n02672831") == 1
    assert (classes.name(28), classes.name(29)) == ("bow tie", "bow")  # some public lists swap them


@pytest.mark.shared
def test_official_list_equals_the_public_sources(shared: Path) -> None:
    assert read_classes(shared / "data" / "ilsvrc_det_lists" / "synsets.csv") == ilsvrc_det_classes()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("id,name", "1,cat"), "list.csv:1 must be the header id,wnid,name, got 'id,name'"),
        (("id,wnid,name", "1,n01,cat", "3,n02,dog"), "list.csv:3 must read 2,wnid,name, got '3,n02,dog'"),
        (("id,wnid,name", "1,n01"), "list.csv:2 must read 1,wnid,name, got '1,n01'"),
        (("id,wnid,name",), "class list must name at least one class, got none ("),
        (
            ("id,wnid,name", "1,n01,cat", "2,n01,dog"),
            "list.csv:3 must differ from the lines before, got 'n01' as in line 2",
        ),
        (
            ("id,wnid,name", "1,,cat", "", "2,,cat"),
            "list.csv:4 must differ from the lines before, got 'cat' as in line 2",
        ),
        (
            ("id,wnid,name", "1,n01,cat", "2,cat,dog"),
            "list.csv:3 must differ from the lines before, got 'cat' as in",
        ),
        (
            ("id,wnid,name", "1,,cat", "2,n02,dog"),
            "WNID must be 1 to 200 printable characters in one line, got '' (",
        ),
        (("id,wnid,name", "1,n01,"), "class name must be 1 to 200 printable characters in one line, got '' ("),
        (("id,wnid,name", "1,,cat", '2,,"big', 'dog"'), r"in one line, got 'big\ndog' ("),
        (
            ("id,wnid,name", "1,,cat", '2,,"dog', "3,,bird"),
            "list.csv:4 must be a line of CSV, got unexpected end of data",
        ),
        (("id,wnid,name", '1,,"cat"s'), "list.csv:2 must be a line of CSV, got "),
        (("id,wnid,name", "1,,cat,4"), "list.csv:2 must read 1,wnid,name, got '1,,cat,4'"),
        (("id;wnid;name", "1;;cat"), "list.csv:1 must be the header id,wnid,name, got 'id;wnid;name'"),
        ((), "list.csv:1 must be the header id,wnid,name, got nothing"),
    ],
)
def test_wrong_line_of_a_class_list_is_named(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_classes(write_lines(tmp_path / "list.csv", *lines))
    assert message in str(caught.value)


def test_class_list_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"class list must be a readable file, got .*gone\.csv"):
        read_classes(tmp_path / "gone.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"class list must be a readable file, got .*x\.csv \(it is not UTF-8"):
        read_classes(tmp_path / "x.csv")


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes(b"\xef\xbb\xbfid,wnid,name\r\n1,, cat\r\n\r\n2,,dog\r\n")
    assert read_classes(path) == ClassList(("cat", "dog"))


BAD_NAMES = [
    "",
    " ",
    "a\nb",
    "a\tb",
    "a\x1b[2Jb",
    "a\0",
    "\ud800",
    "a\u2028b",
    "a\u202eb",
    "x" * 201,
    5,
    None,
    True,
    ["cat"],
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_printable_line_is_refused_wherever_a_list_is_made(name: object) -> None:
    with pytest.raises(
        DataError, match=r"^class name must be 1 to 200 printable characters in one line, got .*\(here\)$"
    ):
        class_name(name, "class name", "here")
    with pytest.raises(DataError, match=r"printable characters in one line, got .* \(class 2\)$"):
        ClassList(("cat", name))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["cat", "big cat", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\u732b", "x" * 200, "a|b", "<b>", "$x$"]
)
def test_a_name_of_any_script_is_taken_without_the_blanks_around_it(name: str) -> None:
    assert class_name(f" {name}\n", "class name", "here") == name
    assert ClassList((name,)).names == (name,)


def test_a_list_that_contradicts_itself_is_told_with_its_place() -> None:
    with pytest.raises(DataError, match=r"^class names must differ, got 'cat' twice \(here\)$"):
        class_list(["cat", "cat"], (), "here")


@pytest.mark.parametrize("wnids", [(), ("n1", "n2")])
def test_a_written_class_list_reads_back_equal(tmp_path: Path, wnids: tuple[str, ...]) -> None:
    classes = ClassList(("cat", 'dog, "big"'), wnids)
    write_classes(tmp_path / "classes.csv", classes)
    assert read_classes(tmp_path / "classes.csv") == classes


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (("dog", "cat", "Dog", "DOG"), [("dog", "Dog", "DOG")]),
        (("hot dog", "hot  dog", "hot_dog", "hot-dog", "hotdog"), [("hot dog", "hot  dog", "hot_dog", "hot-dog")]),
        (("e\u0301", "\u00e9", "e"), [("e\u0301", "\u00e9")]),
        (("dog", "dog\u200b"), [("dog", "dog\u200b")]),
        (("c", "c++", "c#", "1", "11"), []),
        ((), []),
    ],
)
def test_names_that_look_alike_are_found(names: tuple[str, ...], alike: list[tuple[str, ...]]) -> None:
    assert names_alike(names) == alike


def test_no_official_names_look_alike() -> None:
    assert names_alike(ilsvrc_det_classes().names) == []
