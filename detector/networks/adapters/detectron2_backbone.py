"""GoogLeNet as a backbone of detectron2: importing this module registers it; detectron2 must be installed.

    add_googlenet_config(cfg)                                    # before the config file is merged
    cfg.MODEL.BACKBONE.NAME = "build_googlenet_fpn_backbone"

or "build_retinanet_googlenet_fpn_backbone", whose pyramid ends with p6 and p7, or "build_googlenet_backbone", of
maps alone.

Images come as the config says, by INPUT.FORMAT, MODEL.PIXEL_MEAN and MODEL.PIXEL_STD, and are turned into what the
weights want. These settings are read once, when the backbone is built; a checkpoint of the detector brings along
those it was trained with, so they must be the same wherever it is used.
MODEL.BACKBONE.FREEZE_AT is the number of strides that are not trained: 0 none, 1 conv1, 2 conv2 too.
"""

import math
from collections.abc import Collection
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool, LastLevelP6P7
from torch import Tensor, nn

from detector.errors import ConfigError
from detector.networks.backbones.googlenet import CHANNELS, DESIGNS, REDUCTION, STAGES
from detector.networks.features import LAST_MAPS, GoogLeNetFeatures, read_index
from detector.networks.preprocessing import ORDERS, Preprocessing, read_mean, read_scale


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
    """The backbone of the maps in MODEL.GOOGLENET.OUT_FEATURES; ConfigError names a setting that is none."""
    settings = cfg.MODEL.GOOGLENET
    if settings.VARIANT not in tuple(DESIGNS):
        raise ConfigError(f"MODEL.GOOGLENET.VARIANT must be of {_list(DESIGNS)}, got {settings.VARIANT}")
    names = _names("MODEL.GOOGLENET.OUT_FEATURES", settings.OUT_FEATURES, LAST_MAPS)
    features = GoogLeNetFeatures(
        settings.VARIANT,
        settings.WEIGHTS or None,
        [LAST_MAPS.index(name) for name in names],
        read_index("MODEL.BACKBONE.FREEZE_AT", cfg.MODEL.BACKBONE.FREEZE_AT, 0, len(STAGES)),
        _host(cfg),
        norm_eval=bool(settings.WEIGHTS),
    )
    return GoogLeNetBackbone(features)


@BACKBONE_REGISTRY.register()
def build_googlenet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """A feature pyramid over the maps in MODEL.FPN.IN_FEATURES, for Faster R-CNN and its kin.

    One more level is subsampled from the last: of conv2, 3b, 4e, 5b they are p2 to p6.
    """
    bottom_up = build_googlenet_backbone(cfg, input_shape)
    names = _pyramid_maps(cfg, bottom_up)
    extra = LastLevelMaxPool()
    extra.in_feature = f"p{int(math.log2(REDUCTION[names[-1]]))}"
    return _pyramid(cfg, bottom_up, names, extra)


@BACKBONE_REGISTRY.register()
def build_retinanet_googlenet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """A feature pyramid with two more levels, which convolutions make of the last of MODEL.FPN.IN_FEATURES.

    For RetinaNet and its kin: of 3b, 4e, 5b the levels are p3 to p7, MODEL.FPN.OUT_CHANNELS channels each, with
    strides 8 to 128.
    """
    bottom_up = build_googlenet_backbone(cfg, input_shape)
    names = _pyramid_maps(cfg, bottom_up)
    extra = LastLevelP6P7(CHANNELS[names[-1]], cfg.MODEL.FPN.OUT_CHANNELS)
    extra.in_feature = names[-1]  # in place of ResNet's
    return _pyramid(cfg, bottom_up, names, extra)


def _pyramid(cfg: Any, bottom_up: GoogLeNetBackbone, names: list[str], top_block: nn.Module) -> FPN:
    settings = cfg.MODEL.FPN
    return FPN(
        bottom_up=bottom_up,
        in_features=names,
        out_channels=settings.OUT_CHANNELS,
        norm=settings.NORM,
        top_block=top_block,
        fuse_type=settings.FUSE_TYPE,
    )


def _pyramid_maps(cfg: Any, bottom_up: GoogLeNetBackbone) -> list[str]:
    """MODEL.FPN.IN_FEATURES: of the backbone's maps some that follow one another, finest first."""
    names = _names("MODEL.FPN.IN_FEATURES", cfg.MODEL.FPN.IN_FEATURES, bottom_up.names)
    first = LAST_MAPS.index(names[0])
    if names != list(LAST_MAPS[first : first + len(names)]):
        raise ConfigError(f"MODEL.FPN.IN_FEATURES must be a part of {_list(LAST_MAPS)}, got {_list(names)}")
    return names


def _names(setting: str, given: Any, known: Collection[str]) -> list[str]:
    """The names of maps that a setting gives; ConfigError for one that is not of `known`, and for none."""
    names = list(given) if isinstance(given, list | tuple) else [given]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise ConfigError(f"{setting} must be of {_list(known)}, got {wrong[0] if wrong else 'none'}")
    return names


def _host(cfg: Any) -> Preprocessing:
    """How images come, by the config; ConfigError names a setting that is not for images of three channels."""
    if cfg.INPUT.FORMAT not in ORDERS:
        raise ConfigError(f"INPUT.FORMAT must be RGB or BGR, got {cfg.INPUT.FORMAT}")
    mean = read_mean("MODEL.PIXEL_MEAN", cfg.MODEL.PIXEL_MEAN)
    return Preprocessing(cfg.INPUT.FORMAT, mean, read_scale("MODEL.PIXEL_STD", cfg.MODEL.PIXEL_STD))


def _list(names: Collection[str]) -> str:
    return ", ".join(names)
