"""What is wrong with a setting, in one line: the key, what was wanted, what was given and where.

pydantic finds the fault. What was wanted is told from the field's type and limits, not in pydantic's words, which
speak of its own internals.
"""

import difflib
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from detector.choices import Choice
from detector.config.values import LONGEST_PATH, LONGEST_TEXT, Misfit, element_of, kinds_of
from detector.config.yaml_text import Unquoted
from detector.text import one_line, shown

LONGEST_KEY = 80
LIMITS = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt", MinLen: "min_length", MaxLen: "max_length"}


class Place(NamedTuple):
    """Where a fault is: a key, its field where it is one, and the position in the field's list, from 1."""

    key: str
    field: FieldInfo | None
    position: int | None


def explain(error: ValidationError, kind: type[BaseModel], source: str) -> str:
    """One line for the first fault in what should be the settings of a `kind`, read from `source`."""
    fault, place = _telling_fault(error.errors(include_url=False), kind)
    value: Any = fault["input"].value if isinstance(fault["input"], Misfit) else fault["input"]
    given = "null" if value is None else shown(value)
    if fault["type"] == "extra_forbidden":
        return f"unknown setting {place.key} = {given} ({source}){_nearest(place.key, kind)}"
    if fault["type"] == "value_error":
        words = fault["msg"].removeprefix("Value error, ")
        joint = "" if not place.key else " " if words.startswith("must ") else "."
        return f"{place.key}{joint}{words} ({source})"
    if fault["type"] in ("too_long", "too_short"):
        few, limit = ("at most", "max_length") if fault["type"] == "too_long" else ("at least", "min_length")
        return f"{place.key} must hold {few} {fault['ctx'][limit]} of them, got {len(value)} ({source})"
    at = f" at position {place.position}" if place.position else ""
    return f"{place.key or 'settings'}{_wish(place, value)}, got {given}{at} ({source})"


def _nearest(key: str, kind: type[BaseModel]) -> str:
    """The hint at the setting that is most like `key`; in a section that there is, by the last word alone."""
    known = list(known_keys(kind))
    section, _, leaf = key.rpartition(".")
    if section not in known:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    else:
        inside = [other for other in known if other.rpartition(".")[0] == section]
        likest = difflib.get_close_matches(leaf, [other.rpartition(".")[2] for other in inside], n=1)
        near = [f"{section}.{word}" for word in likest] or [other for other in known if other.endswith(f".{leaf}")]
    return f"; did you mean {near[0]}?" if near else ""


def wanted(declared: Any, metadata: Sequence[Any]) -> str:
    """What a setting of a type and its limits must be: "a whole number from 1 to 7"."""
    names = _names(metadata) or [_wanted_kind(kind, metadata) for kind in kinds_of(declared)]
    return _either(names)


def _names(metadata: Sequence[Any]) -> list[str]:
    """The names that a text is one of; none where it is any."""
    return [name for mark in metadata if isinstance(mark, Choice) for name in mark.table]


def find_place(kind: type[BaseModel], location: Sequence[str | int]) -> Place:
    """The place in a `kind` that pydantic means by `location`, which also names the branches of unions."""
    section: type[BaseModel] | None = kind
    names: list[str] = []
    field, position = None, None
    for part in location:
        if section is None:  # inside a field: an element, or the name of a branch
            position = part + 1 if isinstance(part, int) else position
            continue
        names.append(str(part))
        field = section.model_fields.get(str(part))
        annotation = None if field is None else field.annotation
        section = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return Place(one_line(".".join(names), LONGEST_KEY), field, position)


def known_keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings and sections of `section`."""
    for name, field in section.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_keys(field.annotation, f"{prefix}{name}.")


def limits_of(metadata: Sequence[Any]) -> dict[type, Any]:
    """The limits in what is annotated about a field or about the elements of a list, by their kind."""
    each = (item for part in metadata for item in (part.metadata if isinstance(part, FieldInfo) else [part]))
    return {type(limit): getattr(limit, LIMITS[type(limit)]) for limit in each if type(limit) in LIMITS}


def _telling_fault(faults: Sequence[ErrorDetails], kind: type[BaseModel]) -> tuple[ErrorDetails, Place]:
    """The first fault and its place; rather that of a list's element where a union tells one of each branch."""
    pairs = ((fault, find_place(kind, fault["loc"])) for fault in faults)
    fault, place = next(pairs)
    for other, inner in takewhile(lambda pair: pair[1].key == place.key, pairs):
        if inner.position is not None and place.position is None:
            return other, inner
    return fault, place


def _wish(place: Place, value: object) -> str:
    """What the place must be, as it follows its key."""
    if place.field is None:
        return " must be `key: value` lines"
    declared = place.field.annotation
    element = element_of(declared)
    if place.position is not None and element is not None and str in kinds_of(element):
        return f": names must be text{_hint(element, value, 'them')}"
    hint = "" if _names(place.field.metadata) else _hint(declared, value, "it")
    return f" must be {wanted(declared, place.field.metadata)}{hint}"


def _hint(declared: Any, value: object, pronoun: str) -> str:
    """How a value would be the text or the path that is wanted."""
    if not {str, Path} & set(kinds_of(declared)):
        return ""
    if isinstance(value, (bool, int, float, Unquoted)):
        return f" (quote {pronoun})"
    longest = LONGEST_TEXT if str in kinds_of(declared) else LONGEST_PATH
    return f" of 1 to {longest} printable letters" if isinstance(value, (str, Path)) else ""


def _wanted_kind(kind: Any, metadata: Sequence[Any]) -> str:
    if get_origin(kind) is tuple:
        return f"a list of {_elements(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return _either(get_args(kind))
    if kind in (int, float):
        return f"{'a whole number' if kind is int else 'a number'}{_range(limits_of(metadata))}"
    simple = {NoneType: "null", bool: "true or false", str: "text", Path: "a path"}
    return simple.get(kind, "`key: value` lines")


def _elements(declared: Any) -> str:
    """What the elements of a list must be, in the plural."""
    kind = next(kinds_of(declared))
    if get_origin(kind) is Literal:
        return _either(get_args(kind))
    if kind in (int, float):
        limits = limits_of(getattr(declared, "__metadata__", ()))
        return f"{'whole numbers' if kind is int else 'numbers'}{_range(limits)}"
    return "names" if kind is str else "paths"


def _either(options: Sequence[Any]) -> str:
    *others, last = map(str, options)
    return f"{', '.join(others)} or {last}" if others else last


def _range(limits: dict[type, Any]) -> str:
    """from 0 to 1, or what is known of it."""
    bounds = {kind: int(limit) if limit == int(limit) else limit for kind, limit in limits.items()}
    words = [f"from {bounds[Ge]}"] if Ge in bounds else []
    if Gt in bounds:
        words.append(f"above {bounds[Gt]}")
    if Le in bounds:
        words.append(f"to {bounds[Le]}" if Ge in bounds else f"and at most {bounds[Le]}")
    if Lt in bounds:
        words.append(f"and under {bounds[Lt]}")
    return "".join(f" {word}" for word in words)
