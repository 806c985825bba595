import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detector.choices import BACKBONES
from detector.errors import ConfigError
from detector.networks.backbones import make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import DESIGNS
from detector.networks.layer_table import LayerRow, describe, total
from detector.networks.region_classifier import RegionClassifier

NAMES = ", ".join(BACKBONES)

# the layer and output columns of Table 1 of arXiv 1409.4842, then the auxiliary heads
TABLE_1 = [
    ("conv1", (64, 112, 112)),
    ("max pool", (64, 56, 56)),
    ("conv2", (192, 56, 56)),
    ("max pool", (192, 28, 28)),
    ("3a", (256, 28, 28)),
    ("3b", (480, 28, 28)),
    ("max pool", (480, 14, 14)),
    ("4a", (512, 14, 14)),
    ("4b", (512, 14, 14)),
    ("4c", (512, 14, 14)),
    ("4d", (528, 14, 14)),
    ("4e", (832, 14, 14)),
    ("max pool", (832, 7, 7)),
    ("5a", (832, 7, 7)),
    ("5b", (1024, 7, 7)),
    ("avg pool", (1024, 1, 1)),
    ("linear", (1000, 1, 1)),
    ("auxiliary 4a", (1000, 1, 1)),
    ("auxiliary 4d", (1000, 1, 1)),
]
VARIANTS: list[Variant] = list(DESIGNS)


def flops_of_convolutions(variant: Variant, size: int, classes: int) -> int:
    """What torch counts, less the convolutions that compute local response normalisation."""
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        RegionClassifier(make_backbone(variant), classes).eval()(torch.empty(1, 3, size, size))
    counts = counter.get_flop_counts()
    norms = [f"RegionClassifier.backbone.{name}" for name in ("norm1", "norm2")]
    return counter.get_total_flops() - sum(sum(counts[name].values()) for name in norms if name in counts)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rows_are_those_of_table_1(variant: Variant) -> None:
    rows = describe(variant)
    assert [(row.name, row.output) for row in rows] == TABLE_1
    assert [row.name for row in rows if row.auxiliary] == ["auxiliary 4a", "auxiliary 4d"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("size", "classes"), [(224, 1000), (97, 5)])
def test_multiply_adds_are_half_of_torch_s_flops(variant: Variant, size: int, classes: int) -> None:
    counted = total(describe(variant, size, classes)).multiply_adds
    assert 2 * counted == flops_of_convolutions(variant, size, classes)


@pytest.mark.parametrize(
    ("variant", "parameters"), [("paper", 6_998_552), ("paper_bn", 7_005_832), ("torchvision", 6_624_904)]
)
def test_the_total_has_the_parameters_of_the_whole_network(variant: Variant, parameters: int) -> None:
    assert total(describe(variant)).parameters == parameters
    whole = RegionClassifier(make_backbone(variant), 1000)
    assert parameters == sum(p.numel() for p in whole.parameters())
    weights = sum(m.weight.numel() for m in whole.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    assert total(describe(variant)).weights == weights


def test_the_second_convolution_by_hand() -> None:
    conv2 = next(row for row in describe("paper") if row.name == "conv2")
    weights = 64 * 64 + 9 * 64 * 192
    assert conv2 == LayerRow("conv2", (192, 56, 56), weights + 64 + 192, weights, weights * 56 * 56)


def test_an_auxiliary_head_by_hand() -> None:
    head = next(row for row in describe("paper") if row.name == "auxiliary 4d")
    weights = 528 * 128 + 2048 * 1024 + 1024 * 1000
    multiply_adds = 16 * 528 * 128 + 2048 * 1024 + 1024 * 1000
    biases = 128 + 1024 + 1000
    assert head == LayerRow("auxiliary 4d", (1000, 1, 1), weights + biases, weights, multiply_adds, auxiliary=True)


@pytest.mark.parametrize("size", [31, 33, 225])
def test_sizes_at_odd_inputs(size: int) -> None:
    sides = [(size + 1) // 2]
    while len(sides) < 5:
        sides.append(sides[-1] // 2)
    found = [row.output[1] for row in describe("paper", size, 2) if row.name in ("conv1", "max pool")]
    assert found == sides


@pytest.mark.parametrize(
    ("variant", "size", "classes", "message"),
    [
        ("papr", 224, 10, f"variant must be one of {NAMES}, got 'papr'"),
        ("paper", 30, 10, "size must be at least 31 pixels, got 30"),
        ("paper", 224, 0, "classes must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_named(variant: Variant, size: int, classes: int, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        describe(variant, size, classes)
