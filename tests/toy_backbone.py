"""A backbone from outside the project, by CONTRIBUTING's recipe: one convolution in large steps, and another."""

from torch import Tensor, nn
from torch.nn import functional

from detector.networks.backbones.base import Backbone, BackboneFacts, Kernel, SharedMap, Variant
from detector.networks.preprocessing import IMAGENET

FACTS = {
    "toy": BackboneFacts(
        title="a toy",
        channels=6,
        width=6,
        preprocessing=IMAGENET,
        shared=SharedMap("first", 4, (Kernel(8, 8),)),
        behind=(Kernel(2, 2),),
        layers=(("first", "first"), ("second", "second")),
    )
}


class Toy(Backbone):
    """Images (B, 3, H, W) to a map (B, 6, h, w) of one cell for 16 pixels."""

    def __init__(self) -> None:
        super().__init__("toy", FACTS["toy"])
        self.first = nn.Conv2d(3, 4, 8, 8)
        self.second = nn.Conv2d(4, 6, 2, 2)

    def trunk(self, x: Tensor) -> Tensor:
        """Its first convolution."""
        return functional.relu(self.first(x))

    def tail(self, x: Tensor) -> Tensor:
        """Its second convolution."""
        return functional.relu(self.second(x))


def make(variant: Variant) -> Toy:
    """The toy with random weights."""
    return Toy()
