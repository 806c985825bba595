"""The tables of numbers that trainings write, such as metrics.csv, read though a kill or a full disk cut them."""

from dataclasses import dataclass
from pathlib import Path

from detector.files import read_bytes
from detector.text import parse_float, shown

STEP = "step"  # the first column
NO_NUMBERS = ("nan", "inf", "-inf")  # means of nothing, and of losses on their way there


@dataclass(frozen=True)
class NumberTable:
    """Names of columns, the whole rows, and notes on the others, which are left out."""

    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def read_table(path: Path) -> NumberTable:
    """The table at `path`; one without rows where there is no file, or one without a header.

    A row is whole if its line has an end and a number in each column, whose first is a step after the last row's.
    """
    if not path.exists():
        return NumberTable([], [], [])
    lines = read_bytes(path, "table").decode("utf-8", "replace").split("\n")
    lines, cut = lines[:-1], lines[-1]
    if not lines:
        return NumberTable([], [], [])
    header = lines[0].strip().split(",")
    if header[0] != STEP:
        return NumberTable([], [], [f"{path} must begin with a line of names, {STEP} first: it is left out"])
    rows: list[list[str]] = []
    notes = []
    for number, line in enumerate(lines[1:], 2):
        cells = line.strip().split(",")
        if _is_whole(cells, len(header)) and (not rows or int(cells[0]) > int(rows[-1][0])):
            rows.append(cells)
        else:
            wanted = f"must be a later step and {len(header) - 1} numbers"
            notes.append(f"line {number} of {path} {wanted}, got {shown(line)}: it is left out")
    if cut:
        notes.append(f"the last line of {path} is cut: it is left out")
    return NumberTable(header, rows, notes)


def _is_whole(cells: list[str], columns: int) -> bool:
    step, *numbers = cells
    is_step = step.isascii() and step.isdecimal()
    return is_step and len(cells) == columns and all(map(_is_number, numbers))


def _is_number(text: str) -> bool:
    return text in NO_NUMBERS or parse_float(text) is not None
