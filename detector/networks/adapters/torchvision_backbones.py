"""GoogLeNet as the backbone of torchvision's detectors: FasterRCNN, RetinaNet, FCOS and their kin.

The detectors normalise images by ImageNet's mean and deviation unless they are given `image_mean` and `image_std`;
so does `host` here, and the two must agree.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

from detector.errors import ConfigError
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import STAGES
from detector.networks.features import GoogLeNetFeatures, read_index
from detector.networks.preprocessing import IMAGENET, Preprocessing
from detector.text import shown

FINE_TUNED = 3  # strides of a pretrained network that are trained, as torchvision's own detectors do


class SingleMap(nn.Module):
    """Images (B, 3, H, W) to one map (B, out_channels, h, w)."""

    def __init__(self, body: GoogLeNetFeatures) -> None:
        super().__init__()
        self.body = body
        self.out_channels: int = body.feature_info.channels()[0]

    def forward(self, images: Tensor) -> Tensor:
        """The map of images (B, 3, H, W)."""
        return self.body(images)[0]


class Pyramid(nn.Module):
    """Images (B, 3, H, W) to the maps of a feature pyramid (Lin et al., arXiv 1612.03144), named "0", "1", ..."""

    def __init__(self, body: GoogLeNetFeatures, fpn: FeaturePyramidNetwork, out_channels: int) -> None:
        super().__init__()
        self.body = body
        self.fpn = fpn
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps (B, out_channels, h, w) of images (B, 3, H, W), finest first, then those of the extra blocks."""
        maps: dict[str, Tensor] = {}
        for level, map_ in enumerate(self.body(images)):
            maps[str(level)] = map_
        return self.fpn(maps)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation (Wu and He, arXiv 1803.08494) with 32 groups, or as many as divide the channels."""
    return nn.GroupNorm(math.gcd(32, channels), channels)


def googlenet_backbone(
    variant: Variant = "paper",
    weights: Path | str | None = None,
    *,
    out_index: int = -1,
    trainable_layers: int | None = None,
    host: Preprocessing | None = IMAGENET,
) -> SingleMap:
    """A backbone of one map, the last by default; the arguments are those of `googlenet_fpn_backbone`."""
    return SingleMap(_body(variant, weights, (out_index,), trainable_layers, host))


def googlenet_fpn_backbone(
    variant: Variant = "paper",
    weights: Path | str | None = None,
    *,
    out_indices: Sequence[int] = (1, 2, 3, 4),
    trainable_layers: int | None = None,
    out_channels: int = 256,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Callable[..., nn.Module] | None = group_norm,
    host: Preprocessing | None = IMAGENET,
) -> Pyramid:
    """A backbone with a feature pyramid over the maps at `out_indices`, finest first; by default strides 4 to 32.

    The last `trainable_layers` strides (0 to 5) are trained: by default 3 with `weights`, all without. With them
    batch statistics, too, stay those of the weights. `extra_blocks` makes further maps: by default one by
    subsampling, for Faster R-CNN; RetinaNet and FCOS want LastLevelP6P7 and `out_indices` 2, 3, 4. `norm_layer`
    follows each of the pyramid's convolutions; without, the finest maps outweigh the others, as those of a network
    without batch normalisation differ in scale by ten. `weights` and `host` are those of `GoogLeNetFeatures`.
    """
    body = _body(variant, weights, out_indices, trainable_layers, host)
    if list(body.feature_info.out_indices) != sorted(set(body.feature_info.out_indices)):
        raise ConfigError(f"out_indices must rise, got {shown(tuple(out_indices))}")
    extra_blocks = LastLevelMaxPool() if extra_blocks is None else extra_blocks
    fpn = FeaturePyramidNetwork(body.feature_info.channels(), out_channels, extra_blocks, norm_layer)
    return Pyramid(body, fpn, out_channels)


def _body(
    variant: Variant,
    weights: Path | str | None,
    out_indices: Sequence[int],
    trainable_layers: int | None,
    host: Preprocessing | None,
) -> GoogLeNetFeatures:
    if trainable_layers is None:
        trainable_layers = len(STAGES) if weights is None else FINE_TUNED
    frozen = len(STAGES) - read_index("trainable_layers", trainable_layers, 0, len(STAGES))
    return GoogLeNetFeatures(variant, weights, out_indices, frozen, host, norm_eval=weights is not None)
