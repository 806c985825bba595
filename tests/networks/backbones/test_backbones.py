"""What every network states of itself, beside what it does."""

from dataclasses import replace

import pytest
import torch
from random_networks import randomise
from torch import Tensor, nn
from torch.nn import functional

from detector.choices import BACKBONES
from detector.config import RegionSettings
from detector.errors import ConfigError
from detector.networks.backbones import backbone_facts, check_crop, make_backbone, recognise, tiny
from detector.networks.backbones.base import Backbone, Kernel, Variant, batch_norms
from detector.networks.backbones.tiny import Tiny
from detector.networks.backbones.torchvision_nets import ConnectedNet
from detector.networks.roi_align import join_maps
from detector.networks.shared_map import place_regions, pool_windows, scale_image

VARIANTS = list(BACKBONES)


def test_a_kernel_counts_its_steps_and_with_ceil_the_last_one_that_is_cut() -> None:
    assert [Kernel(3, 2).side(side) for side in (3, 4, 5, 6)] == [1, 1, 2, 2]
    assert [Kernel(3, 2, ceil=True).side(side) for side in (3, 4, 5, 6)] == [1, 2, 2, 3]
    assert [Kernel(7, 4, 3).side(side) for side in (32, 33, 36, 37)] == [8, 9, 9, 10]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_maps_have_the_sizes_that_are_stated(variant: Variant) -> None:
    facts = backbone_facts(variant)
    for size in (facts.smallest, 97, facts.crop_size):
        with torch.device("meta"), torch.no_grad():
            network = make_backbone(variant).eval()
            shared = network.trunk(torch.empty(2, 3, size, size))
            last = network.tail(shared)
            features = network.to_features(last)
        assert shared.shape == (2, facts.shared.channels, *[facts.shared.map_side(size)] * 2)
        assert last.shape == (2, facts.channels, *[facts.map_side(size)] * 2)
        assert features.shape == (2, facts.width)
    assert facts.shared.map_side(facts.smallest) > 0
    assert facts.map_side(facts.smallest) > 0


def maps_of(variant: Variant) -> Backbone:
    """The network up to its last map, with random numbers: the linear layers behind it would fill memory."""
    with torch.device("meta"):
        network = make_backbone(variant).eval()
    if isinstance(network, ConnectedNet):
        network.connected = nn.Sequential()
    network.to_empty(device="cpu")
    randomise(network)
    return network


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tail_of_the_trunk_is_the_network(variant: Variant) -> None:
    network, size = maps_of(variant), backbone_facts(variant).smallest
    images = torch.rand(1, 3, size, size + 32)
    with torch.inference_mode():
        torch.testing.assert_close(network.tail(network.trunk(images)), network(images), rtol=0, atol=0)


@torch.inference_mode()
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_region_that_is_the_image_at_the_crop_s_size_has_its_crop_s_map(variant: Variant) -> None:
    network, facts = maps_of(variant), backbone_facts(variant)
    size = max(64, facts.smallest)
    region = RegionSettings(mode="shared", crop_size=size, padding=0, shared_side=size)
    image = torch.rand(1, 3, size, size)
    placed = place_regions(torch.tensor([[0.0, 0.0, size, size]]), size, size, region, facts.shared)
    table = join_maps([network.trunk(copy) for copy in scale_image(image, placed.sizes)])
    pooled = pool_windows(table, placed.windows, region, facts.shared)
    wanted = network.trunk(image)
    assert (pooled - wanted).abs().max() < 1e-4 * wanted.abs().max()


def evenly(network: Backbone) -> Backbone:
    """The network with positive weights that are alike in both directions, and means in place of maxima."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for norm in batch_norms(network):
        norm.reset_parameters()
    return network.double().eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cell_looks_where_it_is_said_to(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    def mean(x: Tensor, kernel_size: int, stride: int, padding: int = 0, *_: int, **pool: bool) -> Tensor:
        return functional.avg_pool2d(x, kernel_size, stride, padding, pool.get("ceil_mode", False))

    monkeypatch.setattr(functional, "max_pool2d", mean)
    shared = backbone_facts(variant).shared
    width = 1200 if variant == "inception_v3" else 480  # the borders must not cut what a cell sees
    image = torch.ones(1, 3, shared.smallest, width, dtype=torch.float64, requires_grad=True)
    shared_map = evenly(maps_of(variant)).trunk(image)
    cell = shared_map.shape[3] // 2
    (seen,) = torch.autograd.grad(shared_map[0, :, :, cell].sum(), image)
    weight = seen.sum((0, 1, 2))
    place = (weight * (torch.arange(width) + 0.5)).sum() / weight.sum()
    assert place.item() == pytest.approx(shared.first + shared.cell * cell, abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_parts_that_are_named_are_there_and_a_row_ends_the_shared_map(
    variant: Variant,
) -> None:
    facts = backbone_facts(variant)
    with torch.device("meta"):
        network = make_backbone(variant)
    for _, path in facts.layers:
        assert isinstance(network.get_submodule(path), nn.Module)
    for path in facts.rounded:
        assert isinstance(network.get_submodule(path), nn.Module)
    assert facts.shared.layer in dict(facts.layers)


def test_an_unknown_network_is_named() -> None:
    wanted = f"^variant must be one of {', '.join(BACKBONES)}, got 'papr'$"
    for find in (make_backbone, backbone_facts):
        with pytest.raises(ConfigError, match=wanted):
            find("papr")


def test_crops_that_leave_no_cell_are_named_by_their_setting() -> None:
    check_crop("tiny", 32)
    with pytest.raises(ConfigError, match=r"^crop\.size must be at least 31 pixels for paper, got 30$"):
        check_crop("paper", 30, "crop.size")


def test_a_network_is_known_by_what_its_layers_are_called() -> None:
    names = [f"{layer}.weight" for layer in backbone_facts("torchvision").foreign["torchvision"]]
    assert recognise("torchvision", names) == "torchvision"
    assert recognise("torchvision", [*names, "of something else"]) == "torchvision"
    assert recognise("Caffe", ["of something else"]) == "paper"


def test_a_layer_s_name_stands_for_all_below_it() -> None:
    names = {"features.1": "backbone.a", "features": "backbone"}
    facts = replace(tiny.FACTS["tiny"], foreign={"torchvision": names})
    named = {"features.1": "backbone.a", "features.1.b.weight": "backbone.a.b.weight", "features.2": "backbone.2"}
    assert {theirs: facts.our_name("torchvision", theirs) for theirs in named} == named
    for theirs in ("feature", "features1.weight", "", ".", "weight", "x.features"):
        assert facts.our_name("torchvision", theirs) is None
    assert facts.our_name("Caffe", "features.1") is None


def test_tiny_has_little_to_compute_and_learns_what_is_easy() -> None:
    torch.manual_seed(0)
    network = Tiny()
    assert sum(each.numel() for each in network.parameters()) < 30_000
    classifier = nn.Linear(48, 2)
    optimiser = torch.optim.SGD([*network.parameters(), *classifier.parameters()], 0.1)
    labels = torch.arange(16) % 2
    crops = torch.randn(16, 3, 32, 32) + labels[:, None, None, None]
    losses = []
    for _ in range(10):
        loss = functional.cross_entropy(classifier(network.to_features(network(crops))), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_the_paper_s_network_begins_as_caffe_begins_it() -> None:
    torch.manual_seed(0)
    for conv in (module for module in make_backbone("paper").modules() if isinstance(module, nn.Conv2d)):
        fan_in = conv.weight[0].numel()
        assert conv.weight.abs().max().item() <= (3 / fan_in) ** 0.5
        assert 0.8 < conv.weight.var().item() * fan_in < 1.2
        assert conv.bias is not None
        assert conv.bias.eq(0.2).all()
