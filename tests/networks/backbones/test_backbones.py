"""What every network states of itself, beside what it does."""

import pytest
import torch
from random_networks import randomise
from torch import Tensor, nn
from torch.nn import functional

from detector.choices import BACKBONES
from detector.errors import ConfigError
from detector.networks.backbones import backbone_facts, check_crop, make_backbone, recognise
from detector.networks.backbones.base import Backbone, Kernel, Variant, batch_norms
from detector.networks.backbones.tiny import Tiny

VARIANTS = list(BACKBONES)


def test_a_kernel_counts_its_steps_and_with_ceil_the_last_one_that_is_cut() -> None:
    assert [Kernel(3, 2).side(side) for side in (3, 4, 5, 6)] == [1, 1, 2, 2]
    assert [Kernel(3, 2, ceil=True).side(side) for side in (3, 4, 5, 6)] == [1, 2, 2, 3]
    assert [Kernel(7, 4, 3).side(side) for side in (32, 33, 36, 37)] == [8, 9, 9, 10]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_maps_have_the_sizes_that_are_stated(variant: Variant) -> None:
    facts = backbone_facts(variant)
    for size in (facts.smallest, 97, 224):
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


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tail_of_the_trunk_is_the_network(variant: Variant) -> None:
    network, facts = make_backbone(variant).eval(), backbone_facts(variant)
    images = torch.rand(1, 3, facts.smallest, facts.smallest + 32)
    with torch.inference_mode():
        torch.testing.assert_close(network.tail(network.trunk(images)), network(images), rtol=0, atol=0)


def evenly(network: Backbone) -> Backbone:
    """The network with positive weights that are alike in both directions, and means in place of maxima."""
    randomise(network)
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
    def mean(pool: nn.MaxPool2d, x: Tensor) -> Tensor:
        size, stride, padding = (int(each) for each in (pool.kernel_size, pool.stride, pool.padding))  # type: ignore[arg-type]
        return functional.avg_pool2d(x, size, stride, padding, pool.ceil_mode)

    monkeypatch.setattr(nn.MaxPool2d, "forward", mean)
    shared = backbone_facts(variant).shared
    image = torch.ones(1, 3, 64, 480, dtype=torch.float64, requires_grad=True)
    shared_map = evenly(make_backbone(variant)).trunk(image)
    cell = shared_map.shape[3] // 2
    (seen,) = torch.autograd.grad(shared_map[0, :, :, cell].sum(), image)
    weight = seen.sum((0, 1, 2))
    place = (weight * (torch.arange(480) + 0.5)).sum() / weight.sum()
    assert place.item() == pytest.approx(shared.first + shared.cell * cell, abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_parts_that_are_named_are_there_and_a_row_ends_the_shared_map(
    variant: Variant,
) -> None:
    facts = backbone_facts(variant)
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
    names = list(backbone_facts("torchvision").foreign["torchvision"])
    assert recognise("torchvision", names) == "torchvision"
    assert recognise("torchvision", [*names, "of something else"]) == "torchvision"
    assert recognise("Caffe", ["of something else"]) == "paper"


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
