"""GoogLeNet as a backbone of detectron2: importing this module registers it; detectron2 must be installed.

    add_googlenet_config(cfg)                                    # before the config file is merged
    cfg.MODEL.BACKBONE.NAME = "build_googlenet_fpn_backbone"     # or "build_googlenet_backbone"

Images come as the config says, by INPUT.FORMAT, MODEL.PIXEL_MEAN and MODEL.PIXEL_STD, and are turned into what the
weights want. MODEL.BACKBONE.FREEZE_AT is the number of strides that are not trained: 0 none, 1 conv1, 2 conv2 too.
"""

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool
from torch import Tensor

from detector.errors import ConfigError
from detector.networks.features import LAST_MAPS, GoogLeNetFeatures
from detector.networks.googlenet import CHANNELS, REDUCTION
from detector.networks.preprocessing import Preprocessing


class GoogLeNetBackbone(Backbone):
    """Images (B, 3, H, W) to a dict of maps, named as in `LAST_MAPS`: conv1, conv2, 3b, 4e, 5b."""

    def __init__(self, features: GoogLeNetFeatures) -> None:
        super().__init__()
        self.features = features
        self.names = [LAST_MAPS[index] for index in features.feature_info.out_indices]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The maps of images (B, 3, H, W)."""
        return dict(zip(self.names, self.features(images), strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each map."""
        return {name: ShapeSpec(channels=CHANNELS[name], stride=REDUCTION[name]) for name in self.names}

    @property
    def size_divisibility(self) -> int:
        """The largest stride: images padded to multiples of it have maps that are exact halves of each other."""
        return max(REDUCTION[name] for name in self.names)


def add_googlenet_config(cfg: CfgNode) -> None:
    """Add MODEL.GOOGLENET with the defaults: VARIANT, WEIGHTS (a file; "": none) and OUT_FEATURES."""
    cfg.MODEL.GOOGLENET = CfgNode()
    cfg.MODEL.GOOGLENET.VARIANT = "paper"
    cfg.MODEL.GOOGLENET.WEIGHTS = ""
    cfg.MODEL.GOOGLENET.OUT_FEATURES = list(LAST_MAPS[1:])


@BACKBONE_REGISTRY.register()
def build_googlenet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> GoogLeNetBackbone:
    """The backbone of the maps in MODEL.GOOGLENET.OUT_FEATURES."""
    settings = cfg.MODEL.GOOGLENET
    unknown = [name for name in settings.OUT_FEATURES if name not in LAST_MAPS]
    if unknown:
        raise ConfigError(f"MODEL.GOOGLENET.OUT_FEATURES must be of {', '.join(LAST_MAPS)}, got {unknown[0]}")
    features = GoogLeNetFeatures(
        settings.VARIANT,
        settings.WEIGHTS or None,
        [LAST_MAPS.index(name) for name in settings.OUT_FEATURES],
        cfg.MODEL.BACKBONE.FREEZE_AT,
        _host(cfg),
        norm_eval=bool(settings.WEIGHTS),
    )
    return GoogLeNetBackbone(features)


@BACKBONE_REGISTRY.register()
def build_googlenet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """A feature pyramid over the maps in MODEL.FPN.IN_FEATURES, for Faster R-CNN and its kin."""
    return FPN(
        bottom_up=build_googlenet_backbone(cfg, input_shape),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


def _host(cfg: Any) -> Preprocessing:
    order = cfg.INPUT.FORMAT
    if order not in ("RGB", "BGR"):
        raise ConfigError(f"INPUT.FORMAT must be RGB or BGR, got {order}")
    return Preprocessing(order, tuple(cfg.MODEL.PIXEL_MEAN), tuple(cfg.MODEL.PIXEL_STD))
