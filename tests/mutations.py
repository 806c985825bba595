"""Damage to files and settings, drawn from a seeded generator: what hard use and hostile hands do to them."""

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

# Values that a reader may not expect, of every kind that JSON and YAML know.
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**19, -(10**19), 10**400, 0.5, -0.5, 1e300, -1e300, 1e308,
    float("nan"), float("inf"), "", " ", "x", "1_0", "nan", "12", "é写🙂", "a\nb", "a\0b", "\x1b[2J", "../up",
    "/etc/passwd", "x" * 300, "\ud800", "<b>|`*$x$</b>", [], [[]], {}, [0], [1, 2], {"a": 1}, [None] * 5,
)  # fmt: skip
ODD_WORDS = (
    "", " ", "0", "-1", "1_0", "nan", "inf", "1e400", "99999999999999999999", "x", "é", "a b", "<b>", "&amp;",
    "../../up", "/etc/passwd", "\x1b[31m", "x" * 300, "%s", "{}", "\u0661", "true", "0x10", "1.5", "\t", "\r\n",
)  # fmt: skip
CHUNK = 64


def damaged_bytes(content: bytes, draw: random.Random) -> bytes:
    """`content` cut, with bytes changed, taken out, put in or repeated; or nothing at all."""
    if not content:
        return b"\0"
    place = draw.randrange(len(content))
    length = draw.randint(1, CHUNK)
    match draw.randrange(7):
        case 0:
            return content[:place]
        case 1:
            flipped = bytearray(content)
            for _ in range(draw.randint(1, 8)):
                flipped[draw.randrange(len(flipped))] = draw.randrange(256)
            return bytes(flipped)
        case 2:
            return content[:place] + draw.randbytes(length) + content[place:]
        case 3:
            return content[:place] + content[place + length :]
        case 4:
            return content[:place] + content[place : place + length] * 3 + content[place + length :]
        case 5:
            return content[:place] + bytes(length) + content[place + length :]
        case _:
            return draw.choice([b"", b"\0", b"\xef\xbb\xbf" + content, content + content, draw.randbytes(length)])


def damaged_text(text: str, draw: random.Random) -> str:
    """`text` with a word, a line or a piece of punctuation that is another, missing or there twice."""
    lines = text.split("\n")
    row = draw.randrange(len(lines))
    match draw.randrange(6):
        case 0:
            words = list(re.finditer(r"[\w.-]+", text))
            if not words:
                return draw.choice(ODD_WORDS)
            word = draw.choice(words)
            return text[: word.start()] + draw.choice(ODD_WORDS) + text[word.end() :]
        case 1:
            lines[row : row + 1] = []
        case 2:
            lines[row : row + 1] = [lines[row]] * 2
        case 3:
            lines[row] = draw.choice(ODD_WORDS)
        case 4:
            marks = list(re.finditer(r"[^\w\s]", text))
            if not marks:
                return text + draw.choice("<>{}[]&\"':,*")
            mark = draw.choice(marks)
            return text[: mark.start()] + draw.choice("<>{}[]&\"':,*") * draw.randrange(3) + text[mark.end() :]
        case _:
            return "\n".join(draw.sample(lines, len(lines)))
    return "\n".join(lines)


def damaged_xml(text: str, draw: random.Random) -> str:
    """An XML text in which an element is missing, there twice, empty, nested in itself or holds an odd word."""
    elements = list(re.finditer(r"<(\w+)>((?:(?!<\1>).)*?)</\1>", text, re.DOTALL))
    if not elements or draw.random() < 0.3:
        return damaged_text(text, draw)
    found = draw.choice(elements)
    whole, name, inner = found[0], found[1], found[2]
    other = draw.choice(
        [
            "",
            whole * 2,
            f"<{name}/>",
            f"<{name}>{whole}</{name}>",
            f"<{name}>{draw.choice(ODD_WORDS)}</{name}>",
            f"<{name}>{inner}{draw.choice(ODD_WORDS)}</{name}>",
            f"<{name}><!-- c -->{inner}</{name}>",
            f"<{name} a='b'>{inner}</{name}>",
            f"<x:{name}>{inner}</x:{name}>",
            draw.choice(elements)[0],
        ]
    )
    return text[: found.start()] + other + text[found.end() :]


def damaged_tree(tree: Any, draw: random.Random) -> Any:
    """A JSON value in which one value is odd, missing, there twice, or under another key."""
    damaged = copy.deepcopy(tree)
    places = list(_places(damaged))
    if not places:
        return draw.choice(ODD_VALUES)
    parent, key = draw.choice(places)
    match draw.randrange(6):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        case 1:
            parent[draw.choice(ODD_WORDS)] = parent.pop(key)
        case 2:
            parent[key] = copy.deepcopy(draw.choice(places)[0])
        case _:
            parent[key] = draw.choice(ODD_VALUES)
    return damaged


def damaged_json(text: str, draw: random.Random) -> str:
    """A JSON text damaged as a value, as text, or by nesting it deeply."""
    match draw.randrange(8):
        case 0:
            return damaged_text(text, draw)
        case 1:
            return draw.choice(["[" * 100_000, '{"a":' * 100_000, text[:-1] + "," + text[1:], "9" * 5_000])
        case _:
            return json.dumps(damaged_tree(json.loads(text), draw))


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in `tree` with each of its keys."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(pairs):
        yield tree, key
        yield from _places(value)
