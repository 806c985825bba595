import errno
import os
import time
from pathlib import Path

import pytest

from detector.errors import DataError
from detector.files import (
    OWN_LEFTOVER,
    append_text,
    fitting_name,
    parse_json,
    read_json,
    read_text,
    remove_leftovers,
    require_file,
    write_atomically,
    write_text,
)


def test_the_file_appears_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "text")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_text() == "text"


def test_a_failure_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), write_atomically(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    wanted = r"a\.txt must be writable \(No space left on device\)"
    with pytest.raises(DataError, match=wanted), write_atomically(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/a\.txt must be writable"):
        write_text(tmp_path / "file" / "a.txt", "text")


def test_a_name_as_long_as_names_may_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".txt")
    write_text(path, "text")
    assert path.read_text() == "text"


def test_a_name_that_would_be_too_long_loses_the_end_of_its_stem() -> None:
    assert fitting_name("1_", "a b", ".jpg") == "1_a b.jpg"
    name = fitting_name("1_", "\u00e4" * 200, ".jpg")
    assert name.startswith("1_\u00e4")
    assert name.endswith("\u00e4.jpg")
    assert len(os.fsencode(name)) in (254, 255)


def test_text_that_utf8_cannot_hold_is_written_as_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "caf\udce9.jpg é\n")
    append_text(tmp_path / "a.txt", "\udce9\n")
    assert (tmp_path / "a.txt").read_text() == "caf\\udce9.jpg é\n\\udce9\n"


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')
    assert read_text(tmp_path / "a.json", "list") == '{"a": 1}\n'
    assert read_json(tmp_path / "a.json", "list") == {"a": 1}


def test_what_is_no_regular_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    wanted = {
        "none": "No such file or directory",
        ".": "it is a folder",
        "pipe": "it is no regular file",
        "/dev/zero": "it is no regular file",
        "a\0b": "no file can be called so",
        "x" * 300: "File name too long",
    }
    for name, reason in wanted.items():
        with pytest.raises(DataError) as caught:
            require_file(tmp_path / name, "list")
        assert str(caught.value).startswith("list must be a readable file, got ")
        assert str(caught.value).endswith(f"({reason})")


def test_text_in_another_encoding_names_the_byte(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"ab\xe9")
    with pytest.raises(DataError, match=r"got .*a\.txt \(it is not UTF-8 at byte 2\)"):
        read_text(tmp_path / "a.txt", "list")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000, "it nests too deeply"),
        ("9" * 5_000, "a number has too many digits"),
        ('[{"a": 1, "b": 2, "a": 3}]', "key 'a' comes twice in an object"),
    ],
)
def test_what_is_no_json_is_one_line(text: str, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_json(text, "results", "a.json")
    assert str(caught.value).startswith("results must be valid JSON, got a.json (")
    assert reason in str(caught.value)


def test_only_temporary_files_are_leftovers(tmp_path: Path) -> None:
    for name in (".a.txt.x1y2_3z4.tmp", ".tmpAbC123", "a.txt", ".hidden", "b.tmp", ".b.tmp", ".tmp12"):
        (tmp_path / name).write_text("")
    (tmp_path / ".folder.x1y2_3z4.tmp").mkdir()
    remove_leftovers(tmp_path, OWN_LEFTOVER)
    assert (tmp_path / ".tmpAbC123").exists()
    remove_leftovers(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".b.tmp", ".folder.x1y2_3z4.tmp", ".hidden", ".tmp12", "a.txt", "b.tmp"]
    remove_leftovers(tmp_path / "none")


def test_a_temporary_file_is_a_leftover_while_it_is_written(tmp_path: Path) -> None:
    """So that the pattern and the names that `write_atomically` gives cannot drift apart."""
    with write_atomically(tmp_path / "a\nb.txt") as temporary:
        assert OWN_LEFTOVER.fullmatch(temporary.name)


def test_leftovers_may_have_to_be_old(tmp_path: Path) -> None:
    for name, age in ((".a.00000000.tmp", 100), (".a.11111111.tmp", 0)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    remove_leftovers(tmp_path, older_than=50)
    assert [path.name for path in tmp_path.iterdir()] == [".a.11111111.tmp"]
