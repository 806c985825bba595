"""GoogLeNet as a backbone of mmdetection: importing this module registers it; mmengine must be installed.

It is `GoogLeNet` or `GoogLeNetBackbone` in mmengine's root registry, which mmdetection's asks for what it does not
know. In a config:

    custom_imports = dict(imports=["detector.networks.adapters.mmdet_backbone"])
"""

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import STAGES
from detector.networks.features import GoogLeNetFeatures, read_index
from detector.networks.preprocessing import IMAGENET, Preprocessing, read_mean, read_scale


@MODELS.register_module(name=["GoogLeNet", "GoogLeNetBackbone"])
class GoogLeNetBackbone(BaseModule):
    """Images (B, 3, H, W) to a tuple of the maps at `out_indices`, by default of strides 4 to 32.

    `mean`, `std` and `bgr_to_rgb` are those of the config's data_preprocessor, whose images are BGR before.
    `frozen_stages`: -1 freezes nothing, 0 conv1, 1 conv2 too, k the first k + 1 strides, up to 4. `norm_eval`
    keeps batch statistics as they are. `weights` are those of `GoogLeNetFeatures`; a checkpoint of this very
    module comes by `init_cfg`, and wins.
    """

    def __init__(
        self,
        variant: Variant = "paper",
        weights: str | None = None,
        out_indices: Sequence[int] = (1, 2, 3, 4),
        frozen_stages: int = -1,
        norm_eval: bool = True,
        mean: Sequence[float] = IMAGENET.mean,
        std: Sequence[float] = IMAGENET.scale,
        bgr_to_rgb: bool = True,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        frozen = read_index("frozen_stages", frozen_stages, -1, len(STAGES) - 1) + 1
        host = Preprocessing("RGB" if bgr_to_rgb else "BGR", read_mean("mean", mean), read_scale("std", std))
        self.features = GoogLeNetFeatures(variant, weights, out_indices, frozen, host, norm_eval)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps (B, C, h, w) of images (B, 3, H, W)."""
        return tuple(self.features(images))
