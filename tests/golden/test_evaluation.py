"""Hand-made detections have the average precision they had, by every protocol and from both formats of files."""

from typing import Any

import golden_cases
import pytest
from golden_figures import differences, report_figures

EXACT = 1e-12  # sums of a few numbers, in an order that is fixed


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    trees = golden_cases.evaluated(tmp_path_factory.mktemp("golden"))
    return {name: report_figures(tree) for name, tree in trees.items()}


@pytest.mark.parametrize("protocol", golden_cases.PROTOCOLS)
@pytest.mark.parametrize("files", ["ilsvrc", "coco"])
def test_each_class_has_the_average_precision_it_had(
    found: dict[str, Any], expected: dict[str, Any], files: str, protocol: str
) -> None:
    name = f"{files} files by {protocol}"
    assert not list(differences(found[name], expected["evaluation"][name], EXACT))
