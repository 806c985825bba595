import math

import pytest

from detector.errors import ConfigError, DataError
from detector.text import one_line, parse_float, parse_int, shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain é 写 🙂", "plain é 写 🙂"),
        ("two\nlines\r\ttab", "two\\nlines\\r\\ttab"),
        ("\x1b[2Jclear\x00", "\\x1b[2Jclear\\x00"),
        ("caf\udce9", "caf\\udce9"),
        ("\u2028\u202ereversed", "\\u2028\\u202ereversed"),
    ],
)
def test_what_cannot_be_shown_on_a_line_is_escaped(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_long_line_loses_its_middle() -> None:
    line = one_line("begin " + "word " * 1_000 + "end", 100)
    assert len(line) == 100
    assert line.startswith("begin word")
    assert line.endswith("word end")


def test_a_long_word_does_not_push_the_rest_out() -> None:
    line = one_line(f"name must be short, got {'x' * 100_000} (file.yaml)")
    assert line.startswith("name must be short, got xxx")
    assert line.endswith("xxx (file.yaml)")
    assert len(line) < 500


@pytest.mark.parametrize("kind", [ConfigError, DataError])
def test_an_error_of_the_user_is_one_line(kind: type[Exception]) -> None:
    assert str(kind("a\nb")) == "a\\nb"


def test_values_are_shown_shortly() -> None:
    holds_itself: list[object] = []
    holds_itself.append(holds_itself)
    assert shown("a\nb") == r"'a\nb'"
    assert shown(holds_itself) == "[[...]]"
    assert shown(10**5_000) == "one int that cannot be shown"
    assert len(shown(list(range(10_000)))) == 80


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12.0),
        (" -0.5\n", -0.5),
        ("+1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e999", math.inf),
        ("1_0", None),
        ("nan", None),
        ("inf", None),
        ("0x10", None),
        ("\u0661", None),
        ("1 2", None),
        ("\xa01", None),
        ("", None),
        ("9" * 5_000, None),
    ],
)
def test_only_decimal_notation_is_a_number(text: str, number: float | None) -> None:
    assert parse_float(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), (" -3 ", -3), ("1_0", None), ("1.0", None), ("\u0661", None), ("9" * 5_000, None)],
)
def test_only_decimal_digits_are_a_whole_number(text: str, number: int | None) -> None:
    assert parse_int(text) == number
