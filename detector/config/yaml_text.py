"""YAML as settings are written in it, from files and command lines that may hold anything.

Read are maps, lists, text, `true` and `false` (YAML 1.1's yes, no, on and off too), none, and numbers in plain
decimal notation. Departures from YAML 1.1, whose readings surprise:

- a key given twice in a map is an error. `<<` merges other maps under the keys that are given; of several maps the
  first that has a key gives it;
- `1_000`, `0x10`, `010` and `1:30` are text, not 1000, 16, 8 and 90, so that no setting takes them for a number;
- a date without quotes is an `Unquoted`, which no setting takes;
- tags (`!!python/...`), anchors that hold themselves, and text that expands or nests without end are errors.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from detector.errors import ConfigError
from detector.text import shown

LONGEST = 1_000_000  # letters of a text
DEEPEST = 50  # maps and lists inside one another
MOST_VALUES = 100_000  # with aliases written out
TOO_LARGE = f"more than {MOST_VALUES} values or {DEEPEST} levels, with aliases written out"

TAG = "tag:yaml.org,2002:"
STR, NULL, BOOL, INT, FLOAT, DATE, MERGE = (
    TAG + name for name in ("str", "null", "bool", "int", "float", "timestamp", "merge")
)


class Unquoted:
    """What YAML takes for a date, as it was written: whoever means text must quote it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def read_yaml_text(text: str, what: str, where: str) -> Any:
    """The value of the YAML document in `text`, None of an empty one; maps have text as keys.

    Aliases give equal values, not one that is shared. ConfigError calls the text `what`, says `where` it stands,
    on which line and what is wrong.
    """
    return _read(text, what, where, _value)


def read_yaml_words(text: str, what: str, where: str) -> Any:
    """As `read_yaml_text`, but whatever is no map or list is the text that stands there, keys too.

    So are files of others read, in which `no`, `1` and `2024-01-01` may be names, and keys numbers.
    """
    return _read(text, what, where, _words)


def _read(text: str, what: str, where: str, value: Callable[[Node], Any]) -> Any:
    try:
        if len(text) > LONGEST:
            raise yaml.YAMLError(f"it has {len(text)} letters, more than {LONGEST}")
        node = _Composer(text).get_single_node()
        return None if node is None else value(node)
    except yaml.YAMLError as error:
        reason = _reason(error, text)
    except RecursionError:  # where the caller's own frames leave few
        reason = TOO_LARGE
    except (ValueError, OverflowError) as error:  # such as of the escape \UFFFFFFFF
        reason = str(error)
    raise ConfigError(f"{what} must be valid YAML, got {where} ({reason})")


class _Composer(yaml.SafeLoader):
    """The tree of nodes of a text, bounded in depth and, with aliases written out, in size."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.extents: dict[int, tuple[int, int]] = {}  # of whole nodes by their id: values, levels

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self.extents:
                raise _problem(f"alias {shown(event.anchor)} stands inside what it names", event)
            return node
        if getattr(event, "tag", None) not in (None, "!", STR):
            raise _problem(f"tag {shown(event.tag)} must be left out", event)
        self.depth += 1
        if self.depth > DEEPEST or len(self.extents) > MOST_VALUES:
            raise _problem(TOO_LARGE, event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is not None:
            self._measure(node)
        return node

    def _measure(self, node: Node) -> None:
        extents = [self.extents[id(child)] for child in _children(node)]
        values = 1 + sum(values for values, _ in extents)
        levels = 1 + max((levels for _, levels in extents), default=0)
        if values > MOST_VALUES or levels > DEEPEST:
            raise _problem(TOO_LARGE, node)
        self.extents[id(node)] = values, levels


# What text without quotes is, by its first letters: each a part of what YAML 1.1 takes for the same, so that what
# PyYAML writes is read as it was meant.
_Composer.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    (BOOL, "yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    (INT, "[-+]?(0|[1-9][0-9]{0,99})", "-+0123456789"),
    (FLOAT, r"[-+]?(0|[1-9][0-9]{0,99})\.[0-9]*([eE][-+][0-9]+)?|\.[0-9]+([eE][-+][0-9]+)?", "-+.0123456789"),
    (FLOAT, r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    (NULL, "~|null|Null|NULL|", ("~", "n", "N", "")),
    (MERGE, "<<", "<"),
    (DATE, "[0-9]{4}-[0-9]{2}-[0-9]{2}", "0123456789"),
    (DATE, r"[0-9]{4}(-[0-9]{1,2}){2}([Tt]|[ \t]+)[0-9]{1,2}(:[0-9]{2}){2}(\.[0-9]*)?", "0123456789"),
):
    _Composer.add_implicit_resolver(_tag, re.compile(f"^({_pattern})$", re.ASCII), list(_first))


def _value(node: Node) -> Any:
    if isinstance(node, ScalarNode):
        return SCALARS[node.tag](node.value)
    if isinstance(node, SequenceNode):
        return [_value(child) for child in node.value]
    given: dict[str, Any] = {}
    merged: dict[str, Any] | None = None
    for key, child in node.value:
        if key.tag == MERGE:
            if merged is not None:
                raise _problem("key << is given twice", key)
            merged = _merged(child)
            continue
        if key.tag != STR:
            raise _problem(f"keys must be text (quote them), got {_written(key)}", key)
        if key.value in given:
            raise _problem(f"key {shown(key.value)} is given twice", key)
        given[key.value] = _value(child)
    return {**(merged or {}), **given}


def _words(node: Node) -> Any:
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, SequenceNode):
        return [_words(child) for child in node.value]
    given: dict[str, Any] = {}
    for key, child in node.value:
        if not isinstance(key, ScalarNode) or key.value in given:
            reason = "is given twice" if isinstance(key, ScalarNode) else "must be text"
            raise _problem(f"key {_written(key)} {reason}", key)
        given[key.value] = _words(child)
    return given


def _merged(node: Node) -> dict[str, Any]:
    """The keys of the map, or of the maps in a list, that stands after `<<`."""
    maps = node.value if isinstance(node, SequenceNode) else [node]
    found: dict[str, Any] = {}
    for each in maps:
        if not isinstance(each, MappingNode):
            raise _problem("<< must be followed by a map or a list of maps", each)
        found = {**_value(each), **found}
    return found


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, SequenceNode):
        yield from node.value


def _written(node: Node) -> str:
    """How a key stands in the text."""
    return shown(Unquoted(node.value)) if isinstance(node, ScalarNode) else "a map or list"


def _float(text: str) -> float:
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


SCALARS: dict[str, Callable[[str], object]] = {
    STR: str,
    NULL: lambda text: None,
    BOOL: lambda text: text.lower() in ("yes", "true", "on"),
    INT: int,
    FLOAT: lambda text: _float(text.lower()),
    DATE: Unquoted,
    MERGE: str,  # where no key stands
}


def _problem(reason: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=place.start_mark)


def _reason(error: yaml.YAMLError, text: str) -> str:
    """What is wrong, and on which line."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: letter {shown(chr(error.character))} is not allowed"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        words = ", ".join(filter(None, (error.context, error.problem)))
        return f"line {error.problem_mark.line + 1}: {words}"
    return str(error)
