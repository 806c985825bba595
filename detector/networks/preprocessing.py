"""What a network is given: images normalised by its channel order, mean and scale."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from torch import Tensor

from detector.errors import ConfigError
from detector.networks.transfers import constant
from detector.text import shown

Colours = tuple[float, float, float]  # a number for each channel

FIELDS = ("channel_order", "mean", "scale")
ORDERS = ("RGB", "BGR")
LARGEST = 1e6  # of a mean or scale; beyond it nothing is left of values in 0..255
SMALLEST_SCALE = 1e-6


@dataclass(frozen=True)
class Preprocessing:
    """The network's input: per channel, in `channel_order`, (value in 0..255 - mean) / scale.

    ConfigError names the field that is no such thing.
    """

    channel_order: Literal["RGB", "BGR"]
    mean: Colours
    scale: Colours

    def __post_init__(self) -> None:
        if self.channel_order not in ORDERS:
            raise ConfigError(f"channel_order must be RGB or BGR, got {shown(self.channel_order)}")
        object.__setattr__(self, "mean", read_mean("mean", self.mean))
        object.__setattr__(self, "scale", read_scale("scale", self.scale))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, which `from_dict` reads back."""
        return {"channel_order": self.channel_order, "mean": list(self.mean), "scale": list(self.scale)}

    @staticmethod
    def from_dict(values: object) -> "Preprocessing":
        """What `to_dict` wrote; ConfigError for anything else."""
        if not isinstance(values, Mapping) or values.keys() != set(FIELDS):
            raise ConfigError(f"it must state {', '.join(FIELDS)} and no more, got {shown(values)}")
        return Preprocessing(**values)


def read_mean(name: str, values: object) -> Colours:
    """Three means from outside, in 0..255; ConfigError calls them `name`."""
    return _three_numbers(name, values, -LARGEST)


def read_scale(name: str, values: object) -> Colours:
    """Three divisors from outside; ConfigError calls them `name`."""
    return _three_numbers(name, values, SMALLEST_SCALE)


def _three_numbers(name: str, values: Any, smallest: float) -> Colours:
    try:
        first, second, third = values
        found = (_number(first), _number(second), _number(third))
    except (TypeError, ValueError, OverflowError):
        found = (math.nan, math.nan, math.nan)
    if not all(smallest <= value <= LARGEST for value in found):
        raise ConfigError(f"{name} must be three numbers in {smallest:g}..{LARGEST:g}, got {shown(values)}")
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan


BVLC = Preprocessing("BGR", (104.0, 117.0, 123.0), (1.0, 1.0, 1.0))
IMAGENET = Preprocessing("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
TORCHVISION = Preprocessing("RGB", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


def normalise(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The network's view (B, 3, H, W) f32 of RGB images (B, H, W, 3), uint8 or f32 in 0..255, on their device."""
    channels = images if preprocessing.channel_order == "RGB" else images.flip(3)
    mean = constant(preprocessing.mean, images.device)
    scale = constant(preprocessing.scale, images.device)
    return ((channels.float() - mean) / scale).permute(0, 3, 1, 2)


def prepare_image(image: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The network's view (1, 3, H, W) f32 of an RGB image (H, W, 3) uint8, channels last."""
    return normalise(image[None], preprocessing)


def shown_crops(crops: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Pictures (N, H, W, 3) uint8 RGB of what the network is given, (N, 3, H, W): `normalise` backwards."""
    mean, scale = constant(preprocessing.mean, crops.device), constant(preprocessing.scale, crops.device)
    pixels = (crops.permute(0, 2, 3, 1) * scale + mean).round().clamp(0, 255).byte()
    return pixels if preprocessing.channel_order == "RGB" else pixels.flip(3)
