"""`python tests/golden/make.py [SECTION ...]` writes the figures that the golden tests expect.

To be run only where a change of them is meant; git then shows which changed. Without names all sections are made.
Those that are about photographs need `../shared`, or $DETECTOR_SHARED.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

TESTS = Path(__file__).parents[1]


def main(chosen: Sequence[str]) -> None:
    """Write the figures of the `chosen` sections, of all where none is."""
    sys.path.insert(0, str(TESTS))  # as pytest does
    from conftest import SHARED
    from golden_calls import one_thread
    from golden_figures import EXPECTED, sections

    tree = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    with one_thread(), TemporaryDirectory() as work:
        for name, make in sections(Path(work), SHARED).items():
            if not chosen or name in chosen:
                tree[name] = make()
    EXPECTED.write_text(f"{_text(tree)}\n")


def _text(tree: Any, depth: int = 0) -> str:
    """JSON with a line for each list of plain values."""
    indent = "\n" + " " * (depth + 1)
    if isinstance(tree, dict):
        entries = [f"{json.dumps(name)}: {_text(entry, depth + 1)}" for name, entry in tree.items()]
        return f"{{{indent}{f',{indent}'.join(entries)}{indent[:-1]}}}"
    if isinstance(tree, list) and tree and isinstance(tree[0], list):
        return f"[{indent}{f',{indent}'.join(_text(entry, depth + 1) for entry in tree)}{indent[:-1]}]"
    return json.dumps(tree)


if __name__ == "__main__":
    main(sys.argv[1:])
