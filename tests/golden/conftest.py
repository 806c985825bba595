"""What the golden tests share: the figures they expect, and one thread."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from golden_calls import one_thread
from golden_figures import EXPECTED


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """The figures of each section; `make.py` writes them."""
    return json.loads(EXPECTED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield
