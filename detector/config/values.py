"""What a setting may be given as: numbers in decimal digits, `true` and `false`, printable text, paths.

One rule for files, overrides, options and Python: nothing is taken for a number, a switch or a text that is none.
"""

import operator
import re
from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from detector.choices import Choice
from detector.text import one_line, parse_float, parse_int

LONGEST_TEXT = 1_000  # letters
LONGEST_PATH = 4_096  # bytes, as on Linux
LEADING_ZERO = re.compile("[+-]?0[0-9]")
CONTROL = re.compile("[\x00-\x1f\x7f]")


class Single:
    """Marks a list of which one element alone stands for the list of it."""


class Misfit:
    """A value that a setting does not take, shown as it is: pydantic converts some, as True to 1, but not this."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


def whole_of(text: str) -> int | None:
    """The whole number that `text` states in decimal digits; None for any other notation, such as 1_000 or 010."""
    return None if LEADING_ZERO.match(text.strip()) else parse_int(text)


def number_of(text: str) -> float | None:
    """The number that `text` states, such as 12, -0.5 or 1e-4; None for any other notation, such as 1_000 or nan.

    It is infinite where it is too large for a float.
    """
    return None if LEADING_ZERO.match(text.strip()) else parse_float(text)


def settle(declared: Any, metadata: list[Any], value: object) -> object:
    """`value` as a field of type `declared` takes it; a Misfit, or unchanged, where pydantic is to refuse it."""
    element = element_of(declared)
    if element is not None:
        if isinstance(value, (list, tuple)):
            return tuple(_settle_one(element, each) for each in value)
        if Single in metadata and isinstance(value, (str, int, float)):
            return (_settle_one(element, value),)
    choices = [mark.table for mark in metadata if isinstance(mark, Choice)]
    if any(not isinstance(value, str) or value not in table for table in choices):
        return Misfit(value)
    return _settle_one(declared, value)


def kinds_of(declared: Any) -> Iterator[Any]:
    """The alternatives of a type, without what is annotated about them."""
    origin = get_origin(declared)
    if origin is Annotated:
        yield from kinds_of(get_args(declared)[0])
    elif origin in (Union, UnionType):
        for each in get_args(declared):
            yield from kinds_of(each)
    else:
        yield declared


def element_of(declared: Any) -> Any | None:
    """The type of a list's elements, None for a type that is no list."""
    return next((get_args(kind)[0] for kind in kinds_of(declared) if get_origin(kind) is tuple), None)


def _settle_one(declared: Any, value: object) -> object:
    kinds = set(kinds_of(declared))
    found = _read(kinds, value)
    options = {type(option) for kind in kinds if get_origin(kind) is Literal for option in get_args(kind)}
    exact = kinds & {int, float, bool, str} | options  # since True and 1.0 would pass for 1
    if found is None or not (exact or Path in kinds):  # null, a section or a list
        return found
    return found if type(found) in exact or (Path in kinds and isinstance(found, Path)) else Misfit(value)


def _read(kinds: set[Any], value: object) -> object:
    """`value` converted to one of the kinds where it states a value of it."""
    if isinstance(value, str):
        return _read_text(kinds, str.__str__(value))
    if isinstance(value, Path):
        return value if is_path(str(value)) else Misfit(value)
    if isinstance(value, bool):
        return value
    if float in kinds and isinstance(value, Real):
        return _as_float(value)
    if int in kinds and hasattr(value, "__index__"):  # numpy's too
        return operator.index(value)
    return value


def _read_text(kinds: set[Any], text: str) -> object:
    number = whole_of(text) if int in kinds else number_of(text) if float in kinds else None
    if number is not None:
        return number
    if Path in kinds:
        return Path(text) if is_path(text) else Misfit(text)
    return text if str not in kinds or is_printable(text) else Misfit(text)


def is_printable(text: str) -> bool:
    """Whether `text` is some letters that fit on one line."""
    return bool(text.strip()) and one_line(text, LONGEST_TEXT) == text


def is_path(text: str) -> bool:
    """Whether `text` can be the path of a file: not empty, without control characters, not too long."""
    return bool(text) and not CONTROL.search(text) and len(text.encode(errors="surrogateescape")) <= LONGEST_PATH


def _as_float(value: Real) -> object:
    try:
        return float(value)
    except OverflowError:
        return value
