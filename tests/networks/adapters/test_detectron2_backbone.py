"""Against the interface that detectron2 documents, unless detectron2 itself is installed."""

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from bvlc_like import random_network, write_bvlc_like
from random_networks import googlenet_of
from stand_ins import import_adapter, library

from detector.errors import ConfigError
from detector.networks.warp import BVLC, prepare_image


@pytest.fixture
def adapter() -> Iterator[ModuleType]:
    with library("detectron2"):
        yield import_adapter("detectron2_backbone")


def config(adapter: ModuleType, **settings: Any) -> Any:
    """detectron2's defaults, and the adapter's own with `settings`."""
    from detectron2.config import get_cfg

    cfg = get_cfg()
    adapter.add_googlenet_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_googlenet_backbone"
    for name, value in settings.items():
        setattr(cfg.MODEL.GOOGLENET, name, value)
    return cfg


def build(cfg: Any) -> Any:
    from detectron2.modeling import build_backbone

    return build_backbone(cfg)


def test_the_backbone_puts_out_what_it_says(adapter: ModuleType) -> None:
    backbone = build(config(adapter, VARIANT="paper_bn")).eval()
    shapes = backbone.output_shape()
    assert {name: (shape.channels, shape.stride) for name, shape in shapes.items()} == {
        "conv2": (192, 4),
        "3b": (480, 8),
        "4e": (832, 16),
        "5b": (1024, 32),
    }
    assert backbone.size_divisibility == 32
    maps = backbone(torch.zeros(1, 3, 64, 96))
    for name, shape in shapes.items():
        assert maps[name].shape == (1, shape.channels, 64 // shape.stride, 96 // shape.stride)


def test_detectron2_s_images_reach_bvlc_weights_as_these_want_them(adapter: ModuleType, tmp_path: Path) -> None:
    weights = str(write_bvlc_like(tmp_path / "bvlc.npz"))
    cfg = config(adapter, WEIGHTS=weights, OUT_FEATURES=["4e"])
    backbone = build(cfg).eval()
    image = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8)
    seen = image.flip(2).permute(2, 0, 1).float() - torch.tensor(cfg.MODEL.PIXEL_MEAN)[:, None, None]
    with torch.inference_mode():
        wanted = googlenet_of(random_network()).maps(prepare_image(image, BVLC), ("4e",))["4e"]
        found = backbone(seen[None])["4e"]
        assert float((found - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


@pytest.mark.parametrize(
    ("freeze_at", "frozen"), [(0, set()), (1, {"conv1"}), (2, {"conv1", "conv2_reduce", "conv2"})]
)
def test_freeze_at_counts_strides(adapter: ModuleType, freeze_at: int, frozen: set[str]) -> None:
    cfg = config(adapter)
    cfg.MODEL.BACKBONE.FREEZE_AT = freeze_at
    trunk = build(cfg).features.backbone
    assert {key.split(".")[0] for key, p in trunk.named_parameters() if not p.requires_grad} == frozen


@pytest.mark.parametrize(
    ("name", "maps", "levels"),
    [
        ("build_googlenet_fpn_backbone", ["conv2", "3b", "4e", "5b"], range(2, 7)),
        ("build_googlenet_fpn_backbone", ["3b", "4e"], range(3, 6)),
        ("build_retinanet_googlenet_fpn_backbone", ["3b", "4e", "5b"], range(3, 8)),
        ("build_retinanet_googlenet_fpn_backbone", ["conv2", "3b", "4e"], range(2, 7)),
    ],
)
def test_a_pyramid_has_the_levels_of_its_maps_and_those_behind_them(
    adapter: ModuleType, name: str, maps: list[str], levels: range
) -> None:
    cfg = config(adapter, VARIANT="paper_bn")
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.FPN.IN_FEATURES = maps
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    pyramid = build(cfg).eval()
    assert isinstance(pyramid.bottom_up, adapter.GoogLeNetBackbone)
    shapes = {key: (shape.channels, shape.stride) for key, shape in pyramid.output_shape().items()}
    assert shapes == {f"p{level}": (32, 2**level) for level in levels}
    with torch.inference_mode():
        found = pyramid(torch.zeros(1, 3, 128, 256))
    assert {key: tuple(map_.shape) for key, map_ in found.items()} == {
        key: (1, channels, 128 // stride, 256 // stride) for key, (channels, stride) in shapes.items()
    }


def test_retinanet_s_extra_levels_are_made_of_the_last_map(adapter: ModuleType) -> None:
    cfg = config(adapter, VARIANT="paper_bn")
    cfg.MODEL.BACKBONE.NAME = "build_retinanet_googlenet_fpn_backbone"
    cfg.MODEL.FPN.IN_FEATURES = ["3b", "4e", "5b"]
    pyramid = build(cfg).eval()
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        p6, p7 = pyramid.top_block(pyramid.bottom_up(images)["5b"])
        found = pyramid(images)
    assert torch.equal(found["p6"], p6)
    assert torch.equal(found["p7"], p7)


@pytest.mark.parametrize(
    ("section", "setting", "value", "message"),
    [
        ("INPUT", "FORMAT", "L", r"INPUT\.FORMAT must be RGB or BGR, got L"),
        ("MODEL", "PIXEL_MEAN", [127.0], r"MODEL\.PIXEL_MEAN must be three numbers in .*, got \[127\.0\]"),
        ("MODEL", "PIXEL_MEAN", [1.0, 2.0, "x"], r"MODEL\.PIXEL_MEAN must be three numbers"),
        ("MODEL", "PIXEL_STD", [58.0, 57.0, 0.0], r"MODEL\.PIXEL_STD must be three numbers in 1e-06\.\."),
        ("MODEL.BACKBONE", "FREEZE_AT", 6, r"MODEL\.BACKBONE\.FREEZE_AT must be in 0\.\.5, got 6"),
        ("MODEL.GOOGLENET", "VARIANT", "v4", r"MODEL\.GOOGLENET\.VARIANT must be of paper, .*, got v4"),
        ("MODEL.GOOGLENET", "OUT_FEATURES", [], r"MODEL\.GOOGLENET\.OUT_FEATURES must be of conv1, .*, got none"),
        ("MODEL.FPN", "IN_FEATURES", [], r"MODEL\.FPN\.IN_FEATURES must be of conv2, 3b, 4e, 5b, got none"),
        ("MODEL.FPN", "IN_FEATURES", ["conv1"], r"MODEL\.FPN\.IN_FEATURES must be of conv2, .*, got conv1"),
        ("MODEL.FPN", "IN_FEATURES", ["5b", "4e"], r"MODEL\.FPN\.IN_FEATURES must be a part of .*, got 5b, 4e"),
        ("MODEL.FPN", "IN_FEATURES", ["3b", "5b"], r"MODEL\.FPN\.IN_FEATURES must be a part of .*, got 3b, 5b"),
    ],
)
def test_a_wrong_setting_is_named(
    adapter: ModuleType, section: str, setting: str, value: Any, message: str
) -> None:
    cfg = config(adapter)
    cfg.MODEL.BACKBONE.NAME = "build_googlenet_fpn_backbone"
    cfg.MODEL.FPN.IN_FEATURES = ["3b", "4e", "5b"]
    setattr(attrgetter(section)(cfg), setting, value)
    with pytest.raises(ConfigError, match=f"^{message}"):
        build(cfg)


def test_unknown_maps_and_formats_are_named(adapter: ModuleType) -> None:
    with pytest.raises(ConfigError, match=r"OUT_FEATURES must be of conv1, conv2, 3b, 4e, 5b, got res4"):
        build(config(adapter, OUT_FEATURES=["3b", "res4"]))
    cfg = config(adapter)
    cfg.INPUT.FORMAT = "YUV-BT.601"
    with pytest.raises(ConfigError, match=r"INPUT\.FORMAT must be RGB or BGR, got YUV-BT\.601"):
        build(cfg)
