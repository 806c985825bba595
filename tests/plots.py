"""Plots are drawn where pages are tested; elsewhere they stay blank, as drawing them is most of a page's time.

The project's own part of a plot, what is in it, is made either way.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from matplotlib.figure import Figure

TESTS = Path(__file__).parent
DRAWN = {"docs", "examples", "golden", "reports"}  # folders of tests
BLANK = '<svg xmlns="http://www.w3.org/2000/svg"></svg>\n'


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test with the fixtures that it is the first to ask for."""
    with pytest.MonkeyPatch.context() as patch:
        if item.path.relative_to(TESTS).parts[0] not in DRAWN:
            patch.setattr(Figure, "savefig", leave_blank)
        return (yield)


def leave_blank(figure: Figure, file: IO[str], **options: Any) -> None:
    """What stands for `Figure.savefig`."""
    assert options["format"] == "svg"
    file.write(BLANK)
