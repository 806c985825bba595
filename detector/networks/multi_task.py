"""The region classifier with box regressors that are trained together with it.

Fast R-CNN (Girshick, arXiv 1504.08083, section 2.3). Differs: the regressors see the last map averaged in a few
cells, as those of R-CNN's ridge regression do here, so that either training leaves the same `BoxHead`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from detector.networks.heads import BoxHead, pool_cells
from detector.networks.region_classifier import RegionClassifier

# of the offsets of regions from IoU 0.5 on, as the authors' released system has it
OFFSET_STD = (0.1, 0.1, 0.2, 0.2)
FIRST_STD = 0.001  # of the weights (arXiv 1504.08083, section 2.3)


class Answers(NamedTuple):
    """Logits (B, outputs), and offsets (B, C, 4) in units of `OFFSET_STD`."""

    logits: Tensor
    offsets: Tensor


class BoxRegressor(nn.Module):
    """A `BoxHead` while it is trained: last maps (B, channels K, h, w) to offsets (B, C, 4).

    These are in units of `OFFSET_STD`. It sees the first crop's map alone, the tight one's.
    """

    def __init__(self, channels: int, classes: int, grid: int) -> None:
        super().__init__()
        self.channels = channels
        self.grid = grid
        self.linear = nn.Linear(channels * grid**2, classes * len(OFFSET_STD))
        nn.init.normal_(self.linear.weight, std=FIRST_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, last_map: Tensor) -> Tensor:
        """Offsets, f32."""
        return self.linear(pool_cells(last_map, self.channels, self.grid)).float().unflatten(1, (-1, 4))

    def head(self) -> BoxHead:
        """What it has learned, for use: offsets in their own measure."""
        unit = torch.tensor(OFFSET_STD, device=self.linear.weight.device)
        weight = self.linear.weight.detach().unflatten(0, (-1, len(OFFSET_STD))) * unit[:, None]
        return BoxHead(weight, self.linear.bias.detach().unflatten(0, (-1, len(OFFSET_STD))) * unit, self.grid)


class MultiTaskClassifier(nn.Module):
    """What `network` classifies, to logits and offsets: one pass for both tasks."""

    def __init__(self, network: RegionClassifier, grid: int) -> None:
        super().__init__()
        self.network = network
        classes = network.classifier.out_features - 1
        self.boxes = BoxRegressor(network.backbone.facts.channels, classes, grid)

    def forward(self, crops: Tensor) -> Answers:
        """Both answers."""
        last_map = self.network.map_of(crops)
        return Answers(self.network.classify(self.network.pool(last_map)), self.boxes(last_map))
