"""An image while its regions are looked at: it goes to the device once, and each shared map is made once."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from detector.networks.transfers import Transfers
from detector.records import Float32, Image


@dataclass(eq=False)
class HeldImage:
    """Pixels (H, W, 3) uint8 RGB, and the shared maps (1, C, h, w) that engines made of them, by their keys."""

    pixels: Image | Tensor
    maps: dict[Hashable, Tensor] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3)."""
        return tuple(self.pixels.shape)

    def sent(self, transfers: Transfers) -> Tensor:
        """The pixels on the device, where they stay."""
        self.pixels = transfers.send(torch.as_tensor(self.pixels))
        return self.pixels


AnyImage = Image | Tensor | HeldImage  # (H, W, 3) uint8 RGB
Regions = Iterable[tuple[AnyImage, Float32]]  # images with boxes (N, 4)


def hold(image: AnyImage) -> HeldImage:
    """The image itself where it is held, so that all who look at it share what is made of it."""
    return image if isinstance(image, HeldImage) else HeldImage(image)
