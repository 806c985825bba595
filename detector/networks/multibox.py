"""MultiBox: class-agnostic boxes and confidences of a whole image (arXiv 1312.2249 and 1412.1441).

Each slot has a prior box and predicts what must be added to it. `learned` is the first paper's form: K priors
anywhere, predicted from the whole map together. `grid` is the second's: convolutions predict 11 slots in every
cell of maps of 8, 6, 4, 3, 2 cells a side, and one for the image.

Differs from the papers: the trunk is Inception v1 in one of its variants, or any backbone with maps of such sizes;
a 1x1 convolution to `HIDDEN` channels comes before the heads; the widths of the heads are ours, as the papers give
none for this trunk.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.errors import ConfigError
from detector.networks.backbones.base import Backbone

Form = Literal["grid", "learned"]

INPUT_SIZE: dict[Form, int] = {"grid": 256, "learned": 224}  # pixels: maps of 8x8 and of 7x7
CELLS: dict[Form, int] = {"grid": 8, "learned": 7}
HIDDEN = 128
SHAPES = 11  # slots a cell
GRID_SLOTS = SHAPES * sum(side**2 for side in (8, 6, 4, 3, 2)) + 1
FIRST_CONFIDENCE = 0.01  # of every slot before training: hardly any holds an object


class MultiBox(nn.Module):
    """Preprocessed images (B, 3, S, S), S = INPUT_SIZE[form], to boxes and confidences of K slots.

    priors (K, 4) are (x1, y1, x2, y2) as fractions of the image; a grid has 1,420 in `priors.grid_priors`' order.
    `file` is where its weights came from, for messages.
    """

    priors: Tensor
    file: str = ""

    def __init__(self, backbone: Backbone, form: Form, priors: Tensor) -> None:
        super().__init__()
        check_cells(backbone, form)
        self.form = form
        self.backbone = backbone
        channels = backbone.facts.channels
        self.head: GridHead | MapHead = GridHead(channels) if form == "grid" else MapHead(channels, len(priors))
        self.register_buffer("priors", priors)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (B, K, 4) as fractions of the image, not clipped, and confidence logits (B, K)."""
        outputs = self.head(self.backbone(images)).float()  # (B, K, 5)
        return self.priors + outputs[..., :4], outputs[..., 4]


def check_cells(backbone: Backbone, form: Form) -> None:
    """Raise ConfigError for a network whose last map has other cells than the form's slots want."""
    wanted, got = CELLS[form], backbone.facts.map_side(INPUT_SIZE[form])
    if got != wanted:
        raise ConfigError(
            f"network.variant must make maps of {wanted} x {wanted} cells for multibox.form={form},"
            f" got {got} x {got} of {backbone.variant}"
        )


class GridHead(nn.Module):
    """A map (B, C, 8, 8) to (B, 1420, 5): offsets and confidence logit of each slot."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, HIDDEN, 1)
        self.to6 = nn.Conv2d(HIDDEN, HIDDEN, 3)
        self.to4 = nn.Conv2d(HIDDEN, HIDDEN, 3, 2, 1)
        self.to3 = nn.Conv2d(HIDDEN, HIDDEN, 3, 2, 1)
        self.to2 = nn.Conv2d(HIDDEN, HIDDEN, 3, 2, 1)
        slots = [nn.Conv2d(HIDDEN, SHAPES * 5, 1) for _ in range(5)]
        self.slots = nn.ModuleList(slots)
        self.whole = nn.Conv2d(HIDDEN, 5, 2)
        for layer in (*slots, self.whole):
            _start_at_priors(layer)

    def forward(self, last_map: Tensor) -> Tensor:
        """Slots in the order of the grids, row by row, cell by cell."""
        map8 = functional.relu(self.reduce(last_map))
        map6 = functional.relu(self.to6(map8))
        map4 = functional.relu(self.to4(map8))
        map3 = functional.relu(self.to3(map6))
        map2 = functional.relu(self.to2(map4))
        maps = (map8, map6, map4, map3, map2)
        outputs = [layer(each) for layer, each in zip(self.slots, maps, strict=True)] + [self.whole(map2)]
        return torch.cat([output.permute(0, 2, 3, 1).unflatten(3, (-1, 5)).flatten(1, 3) for output in outputs], 1)


class MapHead(nn.Module):
    """A map (B, C, 7, 7) to (B, K, 5): every slot sees the whole map."""

    def __init__(self, channels: int, slots: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, HIDDEN, 1)
        self.slots = nn.Linear(HIDDEN * CELLS["learned"] ** 2, slots * 5)
        _start_at_priors(self.slots)

    def forward(self, last_map: Tensor) -> Tensor:
        """Slots in the order of the priors."""
        hidden = functional.relu(self.reduce(last_map)).flatten(1)
        return self.slots(hidden).unflatten(1, (-1, 5))


def _start_at_priors(layer: nn.Conv2d | nn.Linear) -> None:
    """Weights with which every slot begins near its prior, with little confidence."""
    nn.init.normal_(layer.weight, std=0.001)
    bias = torch.zeros(layer.weight.shape[0] // 5, 5)
    bias[:, 4] = math.log(FIRST_CONFIDENCE / (1 - FIRST_CONFIDENCE))
    layer.bias = nn.Parameter(bias.flatten())
