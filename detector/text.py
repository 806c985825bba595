"""Text from outside: made fit for one line of a terminal or of a file, and read as numbers.

Names and values of the user's files may hold anything: line breaks, control characters that move a terminal's
cursor, halves of surrogate pairs (Python's form of file names that are not UTF-8), a million letters.
"""

import re

LONGEST_LINE = 1_000  # characters of a message
LONGEST_WORD = 400  # characters without a blank: longer than any file's name
LONGEST_VALUE = 80  # characters of a value in a message
LONGEST_NUMBER = 1_000  # characters of a number in text
CUT = "..."

# Unicode's controls, line and paragraph separators, marks that reorder text, and surrogates.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
FLOAT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INTEGER = re.compile(r"[+-]?\d+", re.ASCII)


def one_line(text: str, limit: int = LONGEST_LINE) -> str:
    """`text` in one printable line of at most `limit` characters; what is too long loses its middle.

    Characters that cannot be shown are written as Python writes them: \\n, \\x1b, \\udce9.
    """
    line = UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)
    if len(line) > LONGEST_WORD:
        line = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda found: _shortened(found[0], LONGEST_WORD), line)
    return _shortened(line, limit)


def shown(value: object, limit: int = LONGEST_VALUE) -> str:
    """A short `repr` of a value from outside, for a message: one printable line whatever the value is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of too many digits, something that holds itself
        return f"one {type(value).__name__} that cannot be shown"
    return one_line(text, limit)


def parse_float(text: str) -> float | None:
    """The number that `text` states in decimal notation, such as 12, -0.5 or 1e3; None for anything else.

    Blanks around it are allowed. Python's float() takes more: 1_0, nan, other scripts' digits. The number may
    be infinite where it is too large for a float.
    """
    stripped = text.strip(" \t\r\n")
    return float(stripped) if len(stripped) <= LONGEST_NUMBER and FLOAT.fullmatch(stripped) else None


def parse_int(text: str) -> int | None:
    """The whole number that `text` states in decimal digits, with blanks around it; None for anything else."""
    stripped = text.strip(" \t\r\n")
    return int(stripped) if len(stripped) <= LONGEST_NUMBER and INTEGER.fullmatch(stripped) else None


def _shortened(text: str, limit: int) -> str:
    """`text` with CUT in place of its middle where it is longer than `limit`."""
    if len(text) <= limit:
        return text
    kept = max(limit - len(CUT), 0)
    head = kept * 2 // 3
    return f"{text[:head]}{CUT}{text[len(text) - (kept - head) :]}"
