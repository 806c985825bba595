import io

import pytest

from detector import progress
from detector.progress import Lines, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_of_a_file_are_states_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    assert list(progress_bar(range(3), desc="count", unit="step")) == [0, 1, 2]
    lines = file.getvalue().splitlines()
    assert all(line.startswith("count: ") for line in lines)
    assert "0/3" in lines[0]
    assert "3/3" in lines[-1]
    assert all("\x1b" not in line and "\r" not in line for line in lines)


@pytest.mark.parametrize("leave", [True, False])
def test_short_work_leaves_no_line_in_a_file(monkeypatch: pytest.MonkeyPatch, leave: bool) -> None:
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    with progress_bar(total=2, desc="count", leave=leave) as bar:
        bar.update(2)
    assert file.getvalue() == ""


def test_a_bar_that_is_removed_leaves_no_empty_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    for _ in progress_bar(range(2), desc="inner", leave=False):
        pass
    assert "" not in file.getvalue().splitlines()


def test_a_terminal_has_tqdm_s_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Terminal()
    monkeypatch.setattr("sys.stderr", file)
    list(progress_bar(range(3), desc="count"))
    assert "\r" in file.getvalue()
    assert file.getvalue().count("\n") == 1


def test_moves_of_the_cursor_are_no_text() -> None:
    file = io.StringIO()
    lines = Lines(file)
    for text in ("\r", "\n\n", "\x1b[A", "\rhalf  ", ""):
        lines.write(text)
    lines.flush()
    assert file.getvalue() == "half\n"
