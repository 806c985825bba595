from pathlib import Path

import pytest

from detector.runs.number_tables import read_table

HEADER = "step,loss,accuracy\n"
ROWS = [["2", "0.5", "nan"], ["4", "2.5e-01", "1"]]
WHOLE = HEADER + "2,0.5,nan\r\n4,2.5e-01,1\r\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "metrics.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_whole_table_has_no_notes(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, WHOLE))
    assert (table.header, table.rows, table.notes) == (["step", "loss", "accuracy"], ROWS, [])


@pytest.mark.parametrize("size", range(len("6,0.125,0.75\r\n")))
def test_a_last_row_that_was_cut_anywhere_is_left_out(tmp_path: Path, size: int) -> None:
    table = read_table(write(tmp_path, WHOLE + "6,0.125,0.75\r\n"[:size]))
    assert table.rows == ROWS
    assert len(table.notes) == (size > 0)


@pytest.mark.parametrize(
    "line",
    [
        "abc,1,1",
        "6,abc,1",
        "6,1",
        "6,1,1,1",
        "",
        "6,,1",
        "6,1_0,1",
        "٦,1,1",
        "-6,1,1",
        "4,1,1",
        "6.0,1,1",
        "6,\0,1",
    ],
)
def test_a_damaged_row_is_left_out_and_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, f"{WHOLE}{line}\r\n8,1,1\r\n")
    table = read_table(path)
    assert table.rows == [*ROWS, ["8", "1", "1"]]
    (note,) = table.notes
    assert note.startswith(f"line 4 of {path} must be a later step and 2 numbers, got ")
    assert note.isprintable()


def test_text_in_another_encoding_is_left_out(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, WHOLE.encode() + b"6,\xe9,1\r\n"))
    assert table.rows == ROWS
    assert len(table.notes) == 1


@pytest.mark.parametrize("text", ["2,0.5\n4,0.25\n", "\n", "loss,step\n1,2\n"])
def test_a_table_without_its_header_is_left_out(tmp_path: Path, text: str) -> None:
    table = read_table(write(tmp_path, text))
    assert table.rows == []
    assert "must begin with a line of names, step first" in table.notes[0]


@pytest.mark.parametrize("text", ["", "step,lo"])
def test_a_table_of_which_nothing_is_whole_is_empty(tmp_path: Path, text: str) -> None:
    assert read_table(write(tmp_path, text)).rows == []
    assert read_table(tmp_path / "none.csv").rows == []
