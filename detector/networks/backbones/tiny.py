"""Four convolutions: a network for tests and first trials, which learns what is easy in seconds."""

from torch import Tensor, nn
from torch.nn import functional

from detector.networks.backbones.base import Backbone, BackboneFacts, Kernel, SharedMap, Variant
from detector.networks.preprocessing import IMAGENET

WIDTHS = (16, 24, 32, 48)
KERNELS = (Kernel(7, 4, 3), Kernel(3, 2, 1), Kernel(3, 2, 1), Kernel(3, 2, 1))
NAMES = ("conv1", "conv2", "conv3", "conv4")
FACTS = {
    "tiny": BackboneFacts(
        title="tiny",
        channels=WIDTHS[3],
        width=WIDTHS[3],
        preprocessing=IMAGENET,
        shared=SharedMap("conv3", WIDTHS[2], KERNELS[:3]),
        behind=KERNELS[3:],
        layers=tuple((name, name) for name in NAMES),
        rounded=NAMES[1:],
    )
}


class TinyLayer(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel.size, kernel.stride, kernel.padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, h, w)."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)


class Tiny(Backbone):
    """Images (B, 3, H, W) to a map (B, 48, h, w) of one cell for 32 pixels."""

    def __init__(self, variant: Variant = "tiny") -> None:
        super().__init__(variant, FACTS[variant])
        self.conv1 = TinyLayer(3, WIDTHS[0], KERNELS[0])
        self.conv2 = TinyLayer(WIDTHS[0], WIDTHS[1], KERNELS[1])
        self.conv3 = TinyLayer(WIDTHS[1], WIDTHS[2], KERNELS[2])
        self.conv4 = TinyLayer(WIDTHS[2], WIDTHS[3], KERNELS[3])

    def trunk(self, x: Tensor) -> Tensor:
        """The map (B, 32, h, w) of one cell for 16 pixels."""
        return self.conv3(self.conv2(self.conv1(x)))

    def tail(self, x: Tensor) -> Tensor:
        """The last map."""
        return self.conv4(x)


def make(variant: Variant) -> Tiny:
    """The network with random weights."""
    return Tiny(variant)
