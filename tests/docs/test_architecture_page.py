"""The page on the house: its drawing has every room, and its walk leads over what is there."""

import ast
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_HOPS = 60
HOP = re.compile(r"^    ( *)([a-z_/0-9]+\.py): ([A-Za-z_.]+)$", re.MULTILINE)


@cache
def names_in(path: str) -> set[str]:
    """The functions and classes of a module, and the methods of its classes."""
    found = set()
    for node in ast.parse((ROOT / "detector" / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


def test_the_walk_leads_over_what_is_there() -> None:
    hops = HOP.findall(PAGE)
    assert f"{len(hops)} hops" in PAGE
    assert 40 < len(hops) <= MOST_HOPS
    for _, path, name in hops:
        assert name in names_in(path), (path, name)


def test_the_walk_goes_one_step_deeper_at_a_time() -> None:
    depths = [len(indent) // 2 for indent, _, _ in HOP.findall(PAGE)]
    assert depths[0] == 0
    assert all(after <= before + 1 for before, after in pairwise(depths))


def test_every_room_is_drawn() -> None:
    rooms = {path.stem for path in (ROOT / "detector").iterdir() if path.suffix == ".py" or path.is_dir()}
    for room in rooms - {"__init__", "__pycache__", "jit", "py"}:
        assert re.search(rf"\b{room}\b", PAGE), room
