"""Features and probabilities are those they were.

The figures differ by 3e-6 at most between one thread and two, AVX-512, AVX2 and none of both: ten times as much
is allowed. Boxes moved by a tenth of a pixel, another order of channels, padding, interpolation or response
normalisation change them by far more.
"""

from pathlib import Path
from typing import Any

import golden_cases
import pytest
from golden_figures import differences, outlines

TOLERANCE = 3e-5


def test_boxes_of_a_drawn_picture_have_the_features_and_probabilities_they_had(
    expected: dict[str, Any], tmp_path: Path
) -> None:
    found = outlines(golden_cases.drawn_regions(tmp_path))
    assert not list(differences(found, expected["drawn regions"], TOLERANCE))


def test_a_drawn_picture_as_a_whole_has_the_classes_and_maps_it_had(
    expected: dict[str, Any], tmp_path: Path
) -> None:
    found = outlines(golden_cases.drawn_whole(tmp_path))
    assert not list(differences(found, expected["drawn picture"], TOLERANCE))


@pytest.mark.shared
def test_boxes_of_photographs_have_the_features_and_probabilities_they_had(
    expected: dict[str, Any], shared: Path
) -> None:
    found = outlines(golden_cases.photographed_regions(shared))
    assert not list(differences(found, expected["photographed regions"], TOLERANCE))
