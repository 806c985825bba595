"""GoogLeNet, the Inception v1 network of Szegedy et al., "Going Deeper with Convolutions" (arXiv 1409.4842).

Section 5, Table 1. `paper` is the table to the letter, with the details the table leaves out taken from the public
BVLC model: local response normalisation after pool1 and after conv2 (before pool2), pools in ceil mode, a bias in
every convolution. `paper_bn` has the same topology with batch normalisation in place of biases and of local
response normalisation, so that it trains from scratch.

Differs from the paper: no auxiliary classifiers; Xavier initialisation for `paper` (the BVLC model's; the paper
gives none), He's for `paper_bn`.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

Variant = Literal["paper", "paper_bn"]

FEATURES = 1024  # channels of inception 5b
STRIDE = 32  # pixels of the input for one cell of the last feature map


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
POOL_BEFORE = ("3a", "4a", "5a")


class LocalResponseNorm(nn.Module):
    """Normalisation across `size` neighbouring channels: x / (k + alpha / size * sum of squares) ** beta.

    Krizhevsky et al. 2012, section 3.3, with Caffe's division of alpha by size. The sum is a banded 1x1
    convolution and the power, for beta = 3/4, two reciprocal roots: several times faster than torch's own.
    """

    band: Tensor

    def __init__(self, channels: int, size: int = 5, alpha: float = 1e-4, k: float = 1.0) -> None:
        super().__init__()
        self.k = k
        distance = (torch.arange(channels)[:, None] - torch.arange(channels)[None, :]).abs()
        band = (distance <= size // 2).float() * (alpha / size)
        self.register_buffer("band", band[:, :, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W)."""
        root = torch.rsqrt(functional.conv2d(x * x, self.band) + self.k)
        return x * (root * torch.sqrt(root)).to(x.dtype)


class Conv(nn.Module):
    """Convolution, batch norm where asked, ReLU; padded so that stride 1 keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not batch_norm)
        self.norm = nn.BatchNorm2d(outputs) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Inception module with dimension reduction, Figure 2(b): four branches, concatenated in Table 1's order."""

    def __init__(self, inputs: int, widths: Widths, *, batch_norm: bool) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, widths.conv1, 1, batch_norm=batch_norm)
        self.reduce3 = Conv(inputs, widths.reduce3, 1, batch_norm=batch_norm)
        self.conv3 = Conv(widths.reduce3, widths.conv3, 3, batch_norm=batch_norm)
        self.reduce5 = Conv(inputs, widths.reduce5, 1, batch_norm=batch_norm)
        self.conv5 = Conv(widths.reduce5, widths.conv5, 5, batch_norm=batch_norm)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.pool_proj = Conv(inputs, widths.pool, 1, batch_norm=batch_norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, widths.output, H, W)."""
        branches = [
            self.conv1(x),
            self.conv3(self.reduce3(x)),
            self.conv5(self.reduce5(x)),
            self.pool_proj(self.pool(x)),
        ]
        return torch.cat(branches, 1)


class GoogLeNet(nn.Module):
    """The trunk: images (B, 3, H, W), preprocessed, to the feature map of inception 5b (B, 1024, h, w).

    Any input of at least 32x32. The first convolution halves and rounds up; the four pools, 3x3 with stride 2 in
    ceil mode and without a border, halve and round down: 224 -> 112, 56, 28, 14, 7; 600 -> 300, 150, 75, 37, 18.
    """

    def __init__(self, variant: Variant = "paper") -> None:
        super().__init__()
        self.variant = variant
        batch_norm = variant == "paper_bn"
        self.conv1 = Conv(3, 64, 7, 2, batch_norm=batch_norm)
        self.norm1 = nn.Identity() if batch_norm else LocalResponseNorm(64)
        self.conv2_reduce = Conv(64, 64, 1, batch_norm=batch_norm)
        self.conv2 = Conv(64, 192, 3, batch_norm=batch_norm)
        self.norm2 = nn.Identity() if batch_norm else LocalResponseNorm(192)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception = nn.ModuleDict()
        channels = 192
        for name, widths in TABLE_1.items():
            self.inception[name] = Inception(channels, widths, batch_norm=batch_norm)
            channels = widths.output
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """The feature map (B, 1024, h, w) of images (B, 3, H, W)."""
        x = self.norm1(self.pool(self.conv1(x)))
        x = self.norm2(self.conv2(self.conv2_reduce(x)))
        for name, module in self.inception.items():
            x = module(self.pool(x) if name in POOL_BEFORE else x)
        return x


def _initialise(module: nn.Module) -> None:
    """He's initialisation in a convolution followed by batch norm, Xavier's with zero bias elsewhere."""
    if not isinstance(module, nn.Conv2d):
        return
    if module.bias is None:
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
