"""What stays as it is while a network trains, and training that computes maps twice."""

import copy

import pytest
import torch
from random_networks import noise, randomise
from torch import Tensor, nn

from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import DESIGNS, GoogLeNet

VARIANTS: list[Variant] = list(DESIGNS)
# what each stage adds to what is frozen
STAGE_PARTS = [("conv1.",), ("conv2_reduce.", "conv2."), ("inception.3",), ("inception.4",), ("inception.5",)]


def frozen_parts(stages: int) -> tuple[str, ...]:
    return tuple(part for parts in STAGE_PARTS[:stages] for part in parts)


def statistics(network: GoogLeNet) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.named_buffers() if "norm." in key}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stages", range(6))
def test_the_first_stages_do_not_train(variant: Variant, stages: int) -> None:
    network = GoogLeNet(variant).freeze(stages)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in network.named_parameters() if name.startswith(frozen_parts(stages))}


@pytest.mark.parametrize("stages", range(6))
def test_batch_statistics_of_frozen_stages_stay(stages: int) -> None:
    network = GoogLeNet("paper_bn").freeze(stages).train()
    before = statistics(network)
    network(noise(2, 3, 64, 64))
    kept = {key for key, value in statistics(network).items() if torch.equal(value, before[key])}
    assert kept == {key for key in before if key.startswith(frozen_parts(stages))}


def test_training_mode_does_not_thaw() -> None:
    network = GoogLeNet("paper_bn").freeze(3)
    for mode in (True, False, True):
        network.train(mode)
        for name, module in network.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.training == (mode and not name.startswith(frozen_parts(3))), name


def test_freezing_keeps_the_mode() -> None:
    assert not GoogLeNet("paper").eval().freeze(2).training
    assert GoogLeNet("paper").train().freeze(2).training


@pytest.mark.parametrize(("variant", "stages"), [("paper", 0), ("paper_bn", 2), ("torchvision", 2)])
def test_checkpointing_changes_neither_gradients_nor_statistics(variant: Variant, stages: int) -> None:
    check_checkpointing(GoogLeNet(variant), stages)


def test_nor_does_it_where_batch_norm_is_that_of_many_processes() -> None:
    check_checkpointing(nn.SyncBatchNorm.convert_sync_batchnorm(GoogLeNet("paper_bn")), 2)


def check_checkpointing(plain: GoogLeNet, stages: int) -> None:
    randomise(plain)
    thrifty = copy.deepcopy(plain)
    thrifty.checkpointing = True
    images = noise(2, 3, 64, 64)
    for network in (plain, thrifty):
        for _ in range(2):
            network.freeze(stages).train()(images).square().mean().backward()
    wanted = dict(plain.named_parameters())
    for name, parameter in thrifty.named_parameters():
        assert (parameter.grad is None) == name.startswith(frozen_parts(stages)), name
        torch.testing.assert_close(parameter.grad, wanted[name].grad, msg=name)
    for key, value in statistics(thrifty).items():
        torch.testing.assert_close(value, statistics(plain)[key], rtol=0, atol=0, msg=key)
    if plain.variant != "paper":
        assert statistics(thrifty)["inception.5b.conv1.norm.num_batches_tracked"] == 2


def test_checkpointing_computes_a_module_again_on_the_way_back_only() -> None:
    network = GoogLeNet("paper")
    network.checkpointing = True
    calls: list[int] = []
    network.inception["4b"].register_forward_pre_hook(lambda module, inputs: calls.append(1))
    loss = network(noise(1, 3, 32, 32)).sum()
    assert len(calls) == 1
    loss.backward()
    assert len(calls) == 2
    calls.clear()
    network.eval()(noise(1, 3, 32, 32)).sum().backward()
    assert len(calls) == 1


def test_checkpointing_keeps_less() -> None:
    def kept(checkpointing: bool) -> int:
        network = GoogLeNet("paper_bn")
        network.checkpointing = checkpointing
        sizes: list[int] = []

        def note(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            network(noise(1, 3, 64, 64))
        return sum(sizes)

    assert kept(True) < kept(False) / 3
