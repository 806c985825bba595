"""The maps between the layers, and other ways to compute the same network."""

import copy

import pytest
import torch
from random_networks import noise, randomise

from detector.networks.backbones import make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import CHANNELS, DESIGNS, MODULES, REDUCTION, GoogLeNet
from detector.networks.region_classifier import RegionClassifier

VARIANTS: list[Variant] = list(DESIGNS)


def cells(pixels: int, variant: Variant) -> dict[str, int]:
    """The length of every map: the first convolution rounds up, a 3x3 pool down, a 2x2 pool up."""
    conv1 = (pixels + 1) // 2
    conv2, third, fourth = conv1 // 2, conv1 // 4, conv1 // 8
    fifth = (fourth + 1) // 2 if variant == "torchvision" else fourth // 2
    lengths = {"c": conv2, "3": third, "4": fourth, "5": fifth}
    return {name: lengths[name[0]] for name in CHANNELS} | {"conv1": conv1}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(31, 31), (33, 32), (97, 201), (225, 64)])
def test_every_map_has_its_channels_and_cells(variant: Variant, size: tuple[int, int]) -> None:
    network = GoogLeNet(variant).eval()
    with torch.inference_mode():
        maps = network.maps(torch.zeros(2, 3, *size), tuple(CHANNELS))
    assert list(maps) == list(CHANNELS)
    heights, widths = (cells(side, variant) for side in size)
    for name, found in maps.items():
        assert found.shape == (2, CHANNELS[name], heights[name], widths[name])
        assert abs(found.shape[2] - size[0] / REDUCTION[name]) < 1


def test_at_224_pixels_a_map_has_one_cell_for_its_reduction() -> None:
    with torch.device("meta"):
        maps = GoogLeNet("paper").eval().maps(torch.empty(1, 3, 224, 224), tuple(CHANNELS))
    assert {name: 224 / found.shape[2] for name, found in maps.items()} == REDUCTION


def test_a_map_is_what_its_module_puts_out() -> None:
    network = GoogLeNet("paper").eval()
    found: dict[str, torch.Tensor] = {}
    for name, module in MODULES.items():
        network.get_submodule(module).register_forward_hook(
            lambda module, inputs, output, name=name: found.__setitem__(name, output)
        )
    with torch.inference_mode():
        maps = network.maps(noise(1, 3, 64, 64), tuple(CHANNELS))
    assert all(maps[name] is found[name] for name in CHANNELS)


def test_nothing_after_the_last_wanted_map_is_computed() -> None:
    network = GoogLeNet("paper").eval()
    ran: list[str] = []
    for name, module in MODULES.items():
        network.get_submodule(module).register_forward_hook(lambda *_, name=name: ran.append(name))
    with torch.inference_mode():
        assert list(network.maps(torch.zeros(1, 3, 32, 32), ("3b", "conv2"))) == ["conv2", "3b"]
    assert ran == ["conv1", "conv2", "3a", "3b"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_input_of_less_than_31_pixels_leaves_no_cell(variant: Variant) -> None:
    network = GoogLeNet(variant).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 31, 31)).shape == (1, 1024, 1, 1)
        if variant != "torchvision":  # its last pool rounds up
            with pytest.raises(RuntimeError):
                network(torch.zeros(1, 3, 30, 30))


@pytest.mark.parametrize("variant", VARIANTS)
def test_channels_last_computes_the_same(variant: Variant) -> None:
    network = RegionClassifier(make_backbone(variant), 5).eval()
    randomise(network)
    crops = noise(3, 3, 65, 97)
    turned = copy.deepcopy(network).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted = network(crops)
        assert wanted.std() > 0.1
        found = turned(crops.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_torch_compile_traces_the_whole_classifier() -> None:
    network = RegionClassifier(make_backbone("paper"), 5).eval()
    randomise(network)
    crops = noise(2, 3, 64, 64)
    traced = torch.compile(network, backend="aot_eager", fullgraph=True)
    with torch.inference_mode():
        torch.testing.assert_close(traced(crops), network(crops), rtol=1e-4, atol=1e-4)
