"""Selective search finds the very boxes it found, in their order; they are whole pixels, scaled once."""

from pathlib import Path
from typing import Any

import golden_cases
import pytest
from golden_figures import boxes_of


def test_a_drawn_picture_has_the_regions_it_had(expected: dict[str, Any], tmp_path: Path) -> None:
    assert boxes_of(golden_cases.drawn_search(tmp_path)) == expected["drawn search"]


@pytest.mark.shared
def test_photographs_have_the_regions_they_had(expected: dict[str, Any], tmp_path: Path, shared: Path) -> None:
    assert boxes_of(golden_cases.photographed_search(tmp_path, shared)) == expected["photographed search"]
