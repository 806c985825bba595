"""Networks whose every number differs, so that a test sees two of them swapped."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from detector.networks.backbones.googlenet import GoogLeNet
from detector.networks.region_classifier import RegionClassifier


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Draw weights, biases and batch statistics, in ranges that keep the scale of activations."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                deviation = (2 / module.weight[0].numel()) ** 0.5
                module.weight.normal_(0, deviation, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, _BatchNorm):
                module.weight.uniform_(0.8, 1.2, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                nn.init.normal_(module.running_mean, 0, 0.1, generator=generator)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 1.5, generator=generator)  # type: ignore[arg-type]


def googlenet_of(network: RegionClassifier) -> GoogLeNet:
    """The GoogLeNet under a classifier."""
    assert isinstance(network.backbone, GoogLeNet)
    return network.backbone


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def photograph(*shape: int, seed: int = 0) -> torch.Tensor:
    """A uint8 image of noise."""
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def settle(network: nn.Module, size: int) -> None:
    """Give the batch norms the statistics of noise (B, 3, size, size), as training would; then eval mode."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0)))
    network.eval()
