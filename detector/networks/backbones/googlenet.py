"""GoogLeNet, the Inception v1 network of Szegedy et al., "Going Deeper with Convolutions" (arXiv 1409.4842).

Section 5, Table 1. `paper` is the table to the letter, with the details the table leaves out taken from the public
BVLC model: local response normalisation after pool1 and after conv2 (before pool2), pools in ceil mode, a bias in
every convolution. `paper_bn` has the same topology with batch normalisation in place of biases and of local
response normalisation, so that it trains from scratch. `torchvision` is `torchvision.models.googlenet`, a port of
TF-slim's network: batch normalisation, 3x3 kernels in the "5x5" branches, and a last pool of 2x2.

Differs from the paper, which gives no initialisation: that of the public BVLC model for `paper`, He's for the
others. The auxiliary classifiers are in `auxiliary`.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from detector.errors import ConfigError
from detector.networks.backbones.base import (
    Backbone,
    BackboneFacts,
    Family,
    Kernel,
    SharedMap,
    Variant,
    batch_norms,
    check_frozen,
)
from detector.networks.backbones.googlenet_layers import caffe_layers, torchvision_layers
from detector.networks.preprocessing import BVLC, IMAGENET, TORCHVISION, Preprocessing
from detector.text import shown

FIRST_BIAS = 0.2  # of a convolution without batch norm
FEATURES = 1024  # channels of inception 5b


@dataclass(frozen=True)
class Design:
    """What makes a variant: `kernel5` is the 5x5 branch's kernel, `last_pool` that of the pool before 5a."""

    batch_norm: bool
    preprocessing: Preprocessing
    epsilon: float = 1e-5
    kernel5: int = 5
    last_pool: int = 3


DESIGNS: dict[Variant, Design] = {
    "paper": Design(False, BVLC),
    "paper_bn": Design(True, IMAGENET),
    "torchvision": Design(True, TORCHVISION, epsilon=1e-3, kernel5=3, last_pool=2),
}


class Widths(NamedTuple):
    """The columns of Table 1 for one Inception module, in channels."""

    conv1: int
    reduce3: int
    conv3: int
    reduce5: int
    conv5: int
    pool: int

    @property
    def output(self) -> int:
        """Channels of the four concatenated branches."""
        return self.conv1 + self.conv3 + self.conv5 + self.pool


TABLE_1 = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}
STAGES = (("conv1",), ("conv2",), ("3a", "3b"), ("4a", "4b", "4c", "4d", "4e"), ("5a", "5b"))
CHANNELS = {"conv1": 64, "conv2": 192, **{name: widths.output for name, widths in TABLE_1.items()}}
REDUCTION = {name: 2 << stage for stage, names in enumerate(STAGES) for name in names}  # pixels a cell
MODULES = {
    "conv1": "conv1",
    "conv2": "norm2",
    **{name: f"inception.{name}" for name in TABLE_1},
}  # that make a map
POOL = Kernel(3, 2, ceil=True)
# behind it a crop has 7 x 7 cells; conv1 halves and rounds up, three pools round down
SHARED = SharedMap("4e", CHANNELS["4e"], (Kernel(7, 2, 3), POOL, POOL, POOL))
# parts whose input is rounded: all convolutions but the first, in an Inception module three at once
ROUNDED = (
    "conv2_reduce",
    "conv2",
    *(f"inception.{block}{part}" for block in TABLE_1 for part in ("", ".conv3", ".conv5")),
)
FOREIGN: dict[Variant, dict[Family, dict[str, str]]] = {
    "paper": {"Caffe": caffe_layers(TABLE_1)},
    "paper_bn": {},
    "torchvision": {"torchvision": torchvision_layers(TABLE_1)},
}
FACTS = {
    variant: BackboneFacts(
        title=f"GoogLeNet {variant}",
        channels=FEATURES,
        width=FEATURES,
        preprocessing=design.preprocessing,
        shared=SHARED,
        behind=(Kernel(design.last_pool, 2, ceil=True),),
        layers=(*MODULES.items(), ("max pool", "pool"), ("max pool", "last_pool")),
        smallest=31,
        stages=len(STAGES),
        rounded=ROUNDED,
        foreign=FOREIGN[variant],
    )
    for variant, design in DESIGNS.items()
}


@fx.wrap  # one step of a traced graph, which torch.ao's quantisation leaves in floats
def local_response_norm(x: Tensor, channels: int, size: int, alpha: float, k: float) -> Tensor:
    """x / (k + alpha / size * sum of squares over `size` neighbouring channels) ** 0.75 of x (B, channels, H, W).

    Krizhevsky et al. 2012, section 3.3, with Caffe's division of alpha by size. The sum is a banded 1x1
    convolution and the power two reciprocal roots: several times faster than torch's own. Scaled before they are
    squared, activations in the thousands do not overflow in half precision.

    The band is made anew each time, a hundredth of the work: a buffer that is in no state dict would be left
    without its values where a network is made on torch's meta device and then loaded.
    """
    scaled = x * (alpha / size) ** 0.5
    band = x.new_ones((channels, channels)).tril_(size // 2).triu_(-(size // 2))
    root = torch.rsqrt(functional.conv2d(scaled * scaled, band[:, :, None, None]) + k)
    return x * (root * torch.sqrt(root)).to(x.dtype)


class LocalResponseNorm(nn.Module):
    """`local_response_norm` as a module."""

    def __init__(self, channels: int, size: int = 5, alpha: float = 1e-4, k: float = 1.0) -> None:
        super().__init__()
        self.channels = channels
        self.size = size
        self.alpha = alpha
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W)."""
        return local_response_norm(x, self.channels, self.size, self.alpha, self.k)

    def extra_repr(self) -> str:
        """The settings, as torch's own modules show them."""
        return f"{self.channels}, size={self.size}, alpha={self.alpha}, k={self.k}"


class Conv(nn.Module):
    """Convolution, batch norm where the design has it, ReLU; padded so that stride 1 keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, design: Design) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not design.batch_norm)
        self.norm = nn.BatchNorm2d(outputs, design.epsilon) if design.batch_norm else nn.Identity()
        self.has_norm = design.batch_norm

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        x = self.conv(x)
        if self.has_norm:  # not through an identity: quantisers know a convolution followed by ReLU
            x = self.norm(x)
        return functional.relu(x, inplace=True)


class Inception(nn.Module):
    """Inception module with dimension reduction, Figure 2(b): four branches, concatenated in Table 1's order."""

    def __init__(self, inputs: int, widths: Widths, *, design: Design) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, widths.conv1, 1, design=design)
        self.reduce3 = Conv(inputs, widths.reduce3, 1, design=design)
        self.conv3 = Conv(widths.reduce3, widths.conv3, 3, design=design)
        self.reduce5 = Conv(inputs, widths.reduce5, 1, design=design)
        self.conv5 = Conv(widths.reduce5, widths.conv5, design.kernel5, design=design)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.pool_proj = Conv(inputs, widths.pool, 1, design=design)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, widths.output, H, W)."""
        branches = [
            self.conv1(x),
            self.conv3(self.reduce3(x)),
            self.conv5(self.reduce5(x)),
            self.pool_proj(self.pool(x)),
        ]
        return torch.cat(branches, 1)


class GoogLeNet(Backbone):
    """Images (B, 3, H, W), preprocessed, to the feature map of inception 5b (B, 1024, h, w).

    Any input of at least 31x31. The first convolution halves and rounds up; the four pools, 3x3 with stride 2 in
    ceil mode and without a border, halve and round down: 224 -> 112, 56, 28, 14, 7; 600 -> 300, 150, 75, 37, 18.

    `checkpointing` makes training keep the maps between modules only and compute the rest again on the way back
    (Chen et al., arXiv 1604.06174): less memory, a third more time, the same gradients and batch statistics.
    TorchScript keeps all maps, whatever it says. ConfigError for an unknown variant.
    """

    def __init__(self, variant: Variant = "paper") -> None:
        if not isinstance(variant, str) or variant not in DESIGNS:
            raise ConfigError(f"variant must be one of {', '.join(DESIGNS)}, got {shown(variant)}")
        super().__init__(variant, FACTS[variant])
        self.frozen_stages = 0
        self.checkpointing = False
        self.steps = list(CHANNELS)
        design = DESIGNS[variant]
        self.conv1 = Conv(3, 64, 7, 2, design=design)
        self.norm1 = nn.Identity() if design.batch_norm else LocalResponseNorm(64)
        self.conv2_reduce = Conv(64, 64, 1, design=design)
        self.conv2 = Conv(64, 192, 3, design=design)
        self.norm2 = nn.Identity() if design.batch_norm else LocalResponseNorm(192)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.last_pool = nn.MaxPool2d(design.last_pool, 2, ceil_mode=True)
        self.inception = nn.ModuleDict()
        channels = 192
        for name, widths in TABLE_1.items():
            self.inception[name] = Inception(channels, widths, design=design)
            channels = widths.output
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """The feature map (B, 1024, h, w) of images (B, 3, H, W)."""
        return self.map_list(x, ["5b"])[0]

    def trunk(self, x: Tensor) -> Tensor:
        """The map of 4e (B, 832, h, w)."""
        return self.map_list(x, ["4e"])[0]

    def tail(self, x: Tensor) -> Tensor:
        """The map of 5b (B, 1024, h, w) from that of 4e."""
        return self.resume(x, "4e")

    def maps(self, x: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """The maps called `names` (keys of CHANNELS) of images (B, 3, H, W), computed no further than the last.

        A map has CHANNELS[name] channels and one cell for REDUCTION[name] pixels.
        """
        wanted = [step for step in self.steps if step in names]
        return dict(zip(wanted, self.map_list(x, wanted), strict=True))

    def map_list(self, x: Tensor, names: list[str]) -> list[Tensor]:
        """The maps called `names`, in that order; TorchScript takes this form, too."""
        last = max([self.steps.index(name) for name in names])
        found: dict[str, Tensor] = {}
        for step in self.steps[: last + 1]:
            x = self._run(step, x)
            if step in names:
                found[step] = x
        return [found[name] for name in names]

    def resume(self, x: Tensor, name: str) -> Tensor:
        """The feature map of 5b (B, 1024, h', w') from the map called `name` (B, CHANNELS[name], h, w)."""
        for step in self.steps[self.steps.index(name) + 1 :]:
            x = self._run(step, x)
        return x

    def freeze(self, stages: int) -> Self:
        """Keep the first `stages` of STAGES, 0 to 5, as they are: no gradients, batch statistics not updated."""
        check_frozen(self.facts, stages)
        self.frozen_stages = stages
        for module in self._frozen():
            module.requires_grad_(False)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but what is frozen stays in eval mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def _run(self, step: str, x: Tensor) -> Tensor:
        """The map called `step` from the map before it; while checkpointing, what lies between is not kept."""
        if not torch.jit.is_scripting() and self._is_checkpointing():
            return self._recomputed_step(step, x)
        return self._step(step, x)

    def _step(self, step: str, x: Tensor) -> Tensor:
        if step == "conv1":
            return self.conv1(x)
        if step == "conv2":
            x = self.norm1(self.pool(x))
            return self.norm2(self.conv2(self.conv2_reduce(x)))
        if step == "3a" or step == "4a":
            x = self.pool(x)
        elif step == "5a":
            x = self.last_pool(x)
        for name, module in self.inception.items():  # TorchScript has no other way to find one by its name
            if name == step:
                x = module(x)
        return x

    def _is_checkpointing(self) -> bool:
        return self.checkpointing and self.training and torch.is_grad_enabled()

    def _recomputed_step(self, step: str, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():  # which counts statistics once by itself, and takes no contexts
            return checkpoint(self._step, step, x, use_reentrant=False, preserve_rng_state=False)
        return checkpoint(
            self._step,
            step,
            x,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), self._statistics_kept()),
        )

    @contextmanager
    def _statistics_kept(self) -> Iterator[None]:
        """The batch statistics were counted on the way forward: not again when a step is computed again."""
        norms = batch_norms(self)
        kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
        for norm in norms:
            counted = norm.num_batches_tracked
            norm.momentum, norm.num_batches_tracked = 0.0, None if counted is None else counted.clone()
        try:
            yield
        finally:
            for norm, (momentum, batches) in zip(norms, kept, strict=True):
                norm.momentum, norm.num_batches_tracked = momentum, batches

    def _frozen(self) -> list[nn.Module]:
        parts: list[list[nn.Module]] = [[self.conv1], [self.conv2_reduce, self.conv2]]
        parts += [[self.inception[name] for name in names] for names in STAGES[2:]]
        return [module for stage in parts[: self.frozen_stages] for module in stage]


def initialise(module: nn.Module) -> None:
    """He's initialisation in a convolution followed by batch norm, the BVLC model's elsewhere.

    That is Caffe's `xavier`, uniform with variance 1 / fan-in, and biases of 0.2, with which few units begin dead.
    """
    if not isinstance(module, nn.Conv2d):
        return
    if module.bias is None:
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    else:
        bound = (3 / module.weight[0].numel()) ** 0.5
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.constant_(module.bias, FIRST_BIAS)


def make(variant: Variant) -> GoogLeNet:
    """The network of a variant, with random weights."""
    return GoogLeNet(variant)
