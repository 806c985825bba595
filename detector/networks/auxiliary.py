"""The auxiliary classifiers (arXiv 1409.4842, section 5): two heads inside the network, for training only.

On the maps of 4a and 4d: average pooling 5x5 with stride 3, 1x1 convolution to 128 channels, linear 1024, ReLU,
70% dropout, linear. Their losses are added with weight 0.3; nothing of them is left at inference.

Differs from the paper: maps that 5x5 with stride 3 would not bring to 4x4, so those of other inputs than 224x224,
are pooled to 4x4 adaptively. The `torchvision` variant does so at every size, as torchvision does.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.errors import ConfigError
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import CHANNELS, DESIGNS, Conv, GoogLeNet, initialise
from detector.networks.region_classifier import RegionClassifier

PLACES = ("4a", "4d")
CELLS = 4
PAPER_SIDE = 14  # of the maps of a 224x224 input


class AuxiliaryHead(nn.Module):
    """A map (B, inputs, h, w) to logits (B, outputs)."""

    def __init__(self, variant: Variant, inputs: int, outputs: int) -> None:
        super().__init__()
        self.variant = variant
        self.conv = Conv(inputs, 128, 1, design=DESIGNS[variant])
        self.hidden = nn.Linear(128 * CELLS * CELLS, 1024)
        self.dropout = nn.Dropout(0.7)
        self.classifier = nn.Linear(1024, outputs)
        self.apply(initialise)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs) of maps (B, inputs, h, w)."""
        flat = self.conv(self._pool(x)).flatten(1)
        return self.classifier(self.dropout(functional.relu(self.hidden(flat))))

    def _pool(self, x: Tensor) -> Tensor:
        if self.variant != "torchvision" and x.shape[2:] == (PAPER_SIDE, PAPER_SIDE):
            return functional.avg_pool2d(x, 5, 3)
        return functional.adaptive_avg_pool2d(x, CELLS)


class WithAuxiliaryHeads(nn.Module):
    """A classifier in training: its logits, and those of a head at each of PLACES.

    ConfigError for one on another network than GoogLeNet.
    """

    def __init__(self, network: RegionClassifier) -> None:
        super().__init__()
        if not isinstance(network.backbone, GoogLeNet):
            variant = network.backbone.variant
            raise ConfigError(f"train.auxiliary must be 0 for a network that is not GoogLeNet, got {variant}")
        self.network = network
        variant, outputs = network.backbone.variant, network.classifier.out_features
        self.heads = nn.ModuleDict({place: AuxiliaryHead(variant, CHANNELS[place], outputs) for place in PLACES})

    def forward(self, images: Tensor) -> Tensor:
        """Logits (1 + 2, B, outputs), the classifier's first, of preprocessed images (B, 3, H, W)."""
        backbone: Any = self.network.backbone
        maps = backbone.maps(images, (*PLACES, "5b"))
        logits = [self.network.classify(self.network.pool(maps["5b"]))]
        return torch.stack(logits + [self.heads[place](maps[place]) for place in PLACES])
