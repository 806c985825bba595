"""A network's layers as in Table 1 of "Going Deeper with Convolutions" (arXiv 1409.4842), counted on itself.

A network without memory (torch's meta device) is run once; what a layer costs is read off its modules.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from detector.errors import ConfigError
from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.backbones.base import Backbone, Variant
from detector.networks.backbones.googlenet import GoogLeNet
from detector.networks.region_classifier import RegionClassifier

Network = RegionClassifier | WithAuxiliaryHeads


@dataclass(frozen=True)
class LayerRow:
    """A row of Table 1 for one crop: `output` is (channels, height, width).

    `weights` are those of convolutions and linear layers, each used once a cell; `parameters` counts biases and
    batch norm's scales and shifts besides. An `auxiliary` head works in training only.
    """

    name: str
    output: tuple[int, int, int]
    parameters: int = 0
    weights: int = 0
    multiply_adds: int = 0
    auxiliary: bool = False


def describe(variant: Variant, size: int | None = None, classes: int = 1000) -> tuple[LayerRow, ...]:
    """The rows of the table for crops of `size` pixels, in the table's order, then one an auxiliary head.

    Without a size for crops as the network was published with. ConfigError for an unknown variant, a size that
    leaves no cell or no classes.
    """
    facts = backbone_facts(variant)
    size = facts.crop_size if size is None else size
    if size < facts.smallest:
        raise ConfigError(f"size must be at least {facts.smallest} pixels, got {size}")
    if classes < 1:
        raise ConfigError(f"classes must be at least 1, got {classes}")
    with torch.device("meta"), torch.no_grad():
        plain = RegionClassifier(make_backbone(variant), classes)
        network = (WithAuxiliaryHeads(plain) if isinstance(plain.backbone, GoogLeNet) else plain).eval()
        meter = _Meter(network)
        network(torch.empty(1, 3, size, size))
    return tuple(meter.rows)


def total(rows: Sequence[LayerRow]) -> LayerRow:
    """The sums over the layers that work at inference; the output is the last one's."""
    counted = [row for row in rows if not row.auxiliary]
    return LayerRow(
        "total",
        counted[-1].output,
        sum(row.parameters for row in counted),
        sum(row.weights for row in counted),
        sum(row.multiply_adds for row in counted),
    )


class _Meter:
    """Adds up what a forward pass runs through, and closes a row at each layer of the table."""

    def __init__(self, network: Network) -> None:
        self.rows: list[LayerRow] = []
        self._modules: list[nn.Module] = []
        self._multiply_adds = 0
        plain = network if isinstance(network, RegionClassifier) else network.network
        self._averages = type(plain.backbone).to_features is Backbone.to_features
        for module in network.modules():
            if not list(module.children()):
                module.register_forward_hook(self._add)
        for name, module in _layers(network):
            module.register_forward_hook(partial(self._close, name))

    def _add(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._modules.append(module)
        if isinstance(module, nn.Conv2d | nn.Linear):
            self._multiply_adds += output.numel() * module.weight[0].numel()

    def _close(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if name == "linear" and self._averages:  # its input is what the average pool puts out, which is no module
            self.rows.append(LayerRow("avg pool", _size(inputs[0])))
        multiplied = [m for m in self._modules if isinstance(m, nn.Conv2d | nn.Linear)]
        row = LayerRow(
            name,
            _size(output),
            sum(p.numel() for m in self._modules for p in m.parameters()),
            sum(m.weight.numel() for m in multiplied),
            self._multiply_adds,
            name.startswith("auxiliary"),
        )
        self.rows.append(row)
        self._modules, self._multiply_adds = [], 0


def _layers(network: Network) -> Iterator[tuple[str, nn.Module]]:
    """The modules after which a row of the table ends, with its name."""
    plain = network if isinstance(network, RegionClassifier) else network.network
    for name, path in plain.backbone.facts.layers:
        yield name, plain.backbone.get_submodule(path)
    yield "linear", plain.classifier
    if isinstance(network, WithAuxiliaryHeads):
        for place, head in network.heads.items():
            yield f"auxiliary {place}", head


def _size(output: Tensor) -> tuple[int, int, int]:
    channels, height, width = (*output.shape[1:], 1, 1)[:3]
    return channels, height, width
