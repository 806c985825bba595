from collections.abc import Iterator

import pytest

from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import TABLE_1
from detector.networks.layer_table import describe
from detector.networks.printed_table import DIFFERENCES, PRINTED, describe_text, differs

KIBI = 1024
INPUTS = dict(zip(TABLE_1, [192, 256, 480, 512, 512, 512, 528, 832, 832], strict=True))
Shape = tuple[int, ...]  # inputs, then the columns of Table 1


def weights(shape: Shape) -> int:
    """The weights of an Inception module."""
    inputs, conv1, reduce3, conv3, reduce5, conv5, pool = shape
    return inputs * (conv1 + reduce3 + reduce5 + pool) + 9 * reduce3 * conv3 + 25 * reduce5 * conv5


def one_width_changed(shape: Shape, step: int) -> Iterator[Shape]:
    for column in range(len(shape)):
        for width in range(step, 1400, step):
            if width != shape[column]:
                yield (*shape[:column], width, *shape[column + 1 :])


def test_the_counts_are_the_printed_ones_but_for_the_named_differences() -> None:
    rows = {row.name: row for row in describe("paper")}
    named = {name for names in DIFFERENCES for name in names}
    assert named == {"conv1", "4c", "4d", "5a", "5b"}
    assert {name for name, printed in PRINTED.items() if differs(rows[name], printed)} == named
    for name in PRINTED.keys() - named:
        assert rows[name].weights / KIBI == pytest.approx(PRINTED[name].params, rel=0.01)
        assert rows[name].multiply_adds / 1e6 == pytest.approx(PRINTED[name].ops, rel=0.01, abs=0.5)


def test_the_printed_ops_of_4c_4d_and_5b_follow_from_the_printed_widths() -> None:
    rows = {row.name: row for row in describe("paper")}
    for name in ("4c", "4d", "5b"):
        assert round(rows[name].multiply_adds / 1e6) == PRINTED[name].ops


def test_the_explanations_of_conv1() -> None:
    separable, factorised = 49 * 24 + 24 * 64, 2 * 7 * 3 * 64
    assert (separable, factorised) == (2712, 2688)
    assert [round(count * 112**2 / 1e6, 1) for count in (separable, factorised)] == [34.0, 33.7]


def test_only_an_input_of_928_channels_gives_the_printed_figures_of_5a() -> None:
    shape = (INPUTS["5a"], *TABLE_1["5a"])
    fitting = [
        changed
        for changed in one_width_changed(shape, 8)
        if round(weights(changed) / KIBI) == 1072 and round(weights(changed) * 49 / 1e6) == 54
    ]
    assert fitting == [(928, *TABLE_1["5a"])]
    reduced_to_48 = (832, *TABLE_1["5a"]._replace(reduce5=48))
    assert round(weights(reduced_to_48) / KIBI) == 1081
    assert round(weights(reduced_to_48) * 49 / 1e6, 1) == 54.2


def test_204_channels_in_4a_fit_the_printed_figures_of_4a_and_4b() -> None:
    narrow = TABLE_1["4a"]._replace(conv3=204)
    first, second = weights((480, *narrow)), weights((narrow.output, *TABLE_1["4b"]))
    assert [round(count / KIBI) for count in (first, first + sum(narrow), second)] == [363, 364, 437]
    assert [round(count * 196 / 1e6) for count in (first, second)] == [73, 88]


def test_the_paper_s_table_marks_the_differences() -> None:
    lines = describe_text("paper").splitlines()
    marked = [line.split()[0] for line in lines if line.endswith("  *")]
    assert marked == ["conv1", "4c", "4d", "5a", "5b"]
    words = "5a 7x7x832 1,043,456 1018.0K 51.1M 1072K 54M *"
    assert words in [" ".join(line.split()) for line in lines]
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("variant", "size", "classes"), [("paper", 225, 1000), ("paper", 224, 201), ("paper_bn", 224, 1000)]
)
def test_another_network_stands_without_the_printed_columns(variant: Variant, size: int, classes: int) -> None:
    text = describe_text(variant, size, classes)
    assert "1072K" not in text
    assert "printed" not in text


def test_what_sets_torchvision_apart_is_said() -> None:
    text = " ".join(describe_text("torchvision").split())
    assert "batch norm in place of biases and of local response normalisation; 3x3 kernels" in text
    assert "a 2x2 pool before 5a" in text
    assert "Differs from the paper" not in describe_text("paper", 64)
