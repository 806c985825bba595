import pytest
import torch
from random_networks import googlenet_of, noise, randomise
from torch import Tensor

from detector.errors import ConfigError
from detector.networks.auxiliary import PLACES, AuxiliaryHead, WithAuxiliaryHeads
from detector.networks.backbones import make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import DESIGNS
from detector.networks.region_classifier import RegionClassifier

VARIANTS: list[Variant] = list(DESIGNS)


def pooled(head: AuxiliaryHead, maps: Tensor) -> Tensor:
    """What the head's convolution is given."""
    seen: list[Tensor] = []
    handle = head.conv.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.inference_mode():
        head.eval()(maps)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("variant", ["paper", "paper_bn"])
def test_maps_of_a_224_input_are_pooled_5x5_with_stride_3(variant: Variant) -> None:
    maps = noise(1, 512, 14, 14)
    found = pooled(AuxiliaryHead(variant, 512, 3), maps)
    assert found.shape == (1, 512, 4, 4)
    for row in range(4):
        for column in range(4):
            window = maps[..., 3 * row : 3 * row + 5, 3 * column : 3 * column + 5]
            torch.testing.assert_close(found[..., row, column], window.mean((2, 3)))


def test_torchvision_pools_adaptively_where_the_paper_does_not() -> None:
    maps = noise(1, 512, 14, 14)
    found = pooled(AuxiliaryHead("torchvision", 512, 3), maps)
    torch.testing.assert_close(found[..., 0, 0], maps[..., :4, :4].mean((2, 3)))  # 14 / 4 = 3.5
    torch.testing.assert_close(found[..., 1, 3], maps[..., 3:7, 10:].mean((2, 3)))


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7])
def test_maps_of_any_size_are_pooled_to_4x4(side: int) -> None:
    maps = noise(1, 512, side, side + 1)
    found = pooled(AuxiliaryHead("paper", 512, 3), maps)
    assert found.shape == (1, 512, 4, 4)
    torch.testing.assert_close(found[..., 0, 0], maps[..., : -(-side // 4), : -(-(side + 1) // 4)].mean((2, 3)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_head_by_hand(variant: Variant) -> None:
    head = AuxiliaryHead(variant, 512, 3).eval()
    randomise(head)
    maps = noise(2, 512, 4, 4)
    with torch.inference_mode():
        hidden = (head.conv(maps).flatten(1) @ head.hidden.weight.T + head.hidden.bias).clamp(min=0)
        wanted = hidden @ head.classifier.weight.T + head.classifier.bias
        torch.testing.assert_close(head(maps), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_the_classifier_s_then_those_of_the_heads(variant: Variant) -> None:
    network = WithAuxiliaryHeads(RegionClassifier(make_backbone(variant), 3)).eval()
    randomise(network)
    images = noise(2, 3, 64, 64)
    with torch.inference_mode():
        found = network(images)
        maps = googlenet_of(network.network).maps(images, PLACES)
        assert found.shape == (3, 2, 3)
        torch.testing.assert_close(found[0], network.network(images))
        for logits, place in zip(found[1:], PLACES, strict=True):
            torch.testing.assert_close(logits, network.heads[place](maps[place]))


def test_every_part_learns_from_the_three_losses() -> None:
    network = WithAuxiliaryHeads(RegionClassifier(make_backbone("paper_bn"), 3))
    network(noise(2, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_dropout_of_70_percent_works_in_training_only() -> None:
    head = AuxiliaryHead("paper", 512, 3)
    randomise(head)
    maps = noise(1, 512, 4, 4)
    torch.manual_seed(0)
    assert not torch.equal(head(maps), head(maps))
    head.eval()
    assert torch.equal(head(maps), head(maps))
    assert head.dropout.p == 0.7


def test_other_networks_than_googlenet_have_none() -> None:
    wanted = r"^train\.auxiliary must be 0 for a network that is not GoogLeNet, got tiny$"
    with pytest.raises(ConfigError, match=wanted):
        WithAuxiliaryHeads(RegionClassifier(make_backbone("tiny"), 3))
