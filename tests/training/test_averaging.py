import copy
from typing import Literal

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from detector.config import FinetuneSettings
from detector.networks.backbones import make_backbone
from detector.training.averaging import WeightAverage


@pytest.mark.parametrize("kind", ["ema", "polyak"])
def test_averages_are_those_of_torch_to_the_bit(kind: Literal["ema", "polyak"]) -> None:
    torch.manual_seed(0)
    network = make_backbone("tiny")
    average = WeightAverage(network, FinetuneSettings(average=kind, average_decay=0.9))
    function = get_ema_multi_avg_fn(0.9) if kind == "ema" else None
    theirs = AveragedModel(network, multi_avg_fn=function, use_buffers=True)
    for step in range(5):
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.data.add_(torch.randn(tensor.shape) if tensor.is_floating_point() else 1)
        average.update(network)
        theirs.update_parameters(network)
        assert average.count == step + 1
        assert average.model.state_dict().keys() == theirs.state_dict().keys()
        for name, tensor in theirs.state_dict().items():
            if tensor.is_floating_point():
                assert torch.equal(average.model.state_dict()[name], tensor), name


def test_the_average_of_one_step_is_its_network() -> None:
    network = make_backbone("tiny")
    average = WeightAverage(copy.deepcopy(network), FinetuneSettings(average="polyak"))
    for parameter in network.parameters():
        parameter.data.add_(1)
    average.update(network)
    for name, tensor in network.state_dict().items():
        assert torch.equal(average.model.module.state_dict()[name], tensor)
