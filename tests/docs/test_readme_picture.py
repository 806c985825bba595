"""The README's picture of the project: its arrows are modules, its nouns types."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURE = README[README.index("picture\n") : README.index("Each arrow is a module")]
LINE = re.compile(r"^    (\w*) +(.*-->.*)$", re.MULTILINE)
ARROW = re.compile(r"--(\w+)-->")
NOUN = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b")


def test_each_arrow_is_a_module_of_its_room() -> None:
    room, arrows = "", 0
    for name, line in LINE.findall(PICTURE):
        room = name or room
        for arrow in ARROW.findall(line):
            assert (ROOT / "detector" / room / f"{arrow}.py").is_file(), (room, arrow)
            arrows += 1
    assert arrows > 10


def test_each_noun_is_a_type() -> None:
    types = set()
    for path in (ROOT / "detector").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                types.add(node.name)
            if isinstance(node, ast.Assign):
                types |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    nouns = {noun for _, line in LINE.findall(PICTURE) for noun in NOUN.findall(line)}
    assert "ClassScores" in nouns
    assert nouns <= types, nouns - types
