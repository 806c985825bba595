"""What a region classifier needs of the network under it, the same of all in `detector.choices.BACKBONES`.

A module of that table has a `FACTS[variant]`, what is known of a network before it is made, and `make(variant)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Literal, NamedTuple, Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from detector.errors import ConfigError
from detector.networks.preprocessing import Preprocessing

Variant = str  # a key of BACKBONES
Family = Literal["Caffe", "torchvision"]  # of files of weights that others wrote


class Kernel(NamedTuple):
    """What a convolution or a pool does to the sides of a map; `ceil`: its last, incomplete step counts."""

    size: int
    stride: int
    padding: int = 0
    ceil: bool = False

    def side(self, side: int) -> int:
        """The cells along a side of what is made of a map of `side` cells."""
        rest = side + 2 * self.padding - self.size
        return (-(-rest // self.stride) if self.ceil else rest // self.stride) + 1


@dataclass(frozen=True)
class SharedMap:
    """The map behind which a network may be cut, so that the regions of an image share all before it.

    `layer` is the row of the layer table that it ends. `kernels` are, in order, those that change a map's size on
    the way. `smallest` is the shortest side of an image, in pixels, that leaves a cell.
    """

    layer: str
    channels: int
    kernels: tuple[Kernel, ...]
    smallest: int = 32

    @property
    def cell(self) -> int:
        """Pixels from one cell to the next."""
        return prod(kernel.stride for kernel in self.kernels)

    @property
    def first(self) -> float:
        """Where the first cell looks, the centre of its receptive field, in pixels; that of pixel 0 is at 0.5."""
        place, step = 0.5, 1
        for kernel in self.kernels:
            place += step * ((kernel.size - 1) / 2 - kernel.padding)
            step *= kernel.stride
        return place

    def map_side(self, crop_size: int) -> int:
        """The cells along a side of the map of a crop."""
        return _side(crop_size, self.kernels)


@dataclass(frozen=True)
class BackboneFacts:
    """What is known of a network before it is made.

    channels: of its last map. width: features of a crop. preprocessing: the input it is trained with from scratch.
    behind: as `SharedMap.kernels`, from the shared map to the last.
    crop_size: pixels along a side of the crops that it was published with; smallest: the least that it takes.
    stages: how many first stages of it can be frozen.
    layers: the rows of its layer table in turn, (name, path of the module that ends it).
    rounded: paths of the parts that int8 may have: their input, what a ReLU left, is rounded, and so are the
    weights of the convolutions in them. Batch norm behind a convolution, `conv`, is called `norm` then.
    foreign: for files of others the names of layers, or of all layers below one, to ours: `backbone.PATH`,
    `classifier`, and `heads.` before what is left out.
    """

    title: str
    channels: int
    width: int
    preprocessing: Preprocessing
    shared: SharedMap
    behind: tuple[Kernel, ...]
    layers: tuple[tuple[str, str], ...]
    smallest: int = 32
    crop_size: int = 224
    stages: int = 0
    rounded: tuple[str, ...] = ()
    foreign: Mapping[Family, Mapping[str, str]] = field(default_factory=dict)

    def map_side(self, crop_size: int) -> int:
        """The cells along a side of a crop's last map."""
        return _side(self.shared.map_side(crop_size), self.behind)

    def our_name(self, family: Family, theirs: str) -> str | None:
        """What we call a tensor in a file of `family`; None where the network has no such layer."""
        names, layer, below = self.foreign.get(family, {}), theirs, ""
        while layer and layer not in names:
            layer, _, last = layer.rpartition(".")
            below = f".{last}{below}"
        return names[layer] + below if layer else None


class Backbone(nn.Module):
    """Crops (B, 3, S, S), preprocessed, to the last map (B, channels, h, w), and that to features (B, width).

    `trunk` and `tail` are the parts of it before and behind the map that regions may share.
    """

    def __init__(self, variant: Variant, facts: BackboneFacts) -> None:
        super().__init__()
        self.variant = variant
        self.facts = facts

    def forward(self, x: Tensor) -> Tensor:
        """The last map (B, channels, h, w) of images (B, 3, H, W)."""
        return self.tail(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The shared map (B, facts.shared.channels, h, w) of images (B, 3, H, W), of any size."""
        raise NotImplementedError

    def tail(self, x: Tensor) -> Tensor:
        """The last map (B, channels, h, w) of shared maps."""
        raise NotImplementedError

    def freeze(self, stages: int) -> Self:
        """Keep the first `stages` of its stages as they are, 0 to `facts.stages`."""
        check_frozen(self.facts, stages)
        return self

    def to_features(self, last_map: Tensor) -> Tensor:
        """Features (B, width) of last maps (B, channels, h, w): the means over their cells."""
        return last_map.mean((2, 3))

    def feature_layers(self) -> tuple[nn.Module, ...]:
        """The layers that `to_features` alone has: who looks at maps does without."""
        return ()


def batch_norms(network: nn.Module) -> list[_NormBase]:
    """The modules of `network` that keep batch statistics, whatever their class: SyncBatchNorm, too."""
    return [module for module in network.modules() if isinstance(module, _NormBase)]


def check_frozen(facts: BackboneFacts, stages: int, key: str = "frozen stages") -> None:
    """Raise ConfigError, naming the setting `key`, for more first stages than a network has to freeze."""
    if not 0 <= stages <= facts.stages:
        raise ConfigError(f"{key} of {facts.title} must be 0 to {facts.stages}, got {stages}")


def _side(side: int, kernels: tuple[Kernel, ...]) -> int:
    for kernel in kernels:
        side = kernel.side(side)
    return side
