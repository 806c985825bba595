"""Against mmengine where it is installed, else against the interface that it documents."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from bvlc_like import random_network, write_bvlc_like
from random_networks import googlenet_of
from stand_ins import import_adapter, library
from torch import nn

from detector.errors import ConfigError
from detector.networks.preprocessing import BVLC, IMAGENET, Preprocessing, prepare_image

needs_mmengine = pytest.mark.skipif(find_spec("mmengine") is None, reason="mmengine is not installed")


@pytest.fixture
def adapter() -> Iterator[ModuleType]:
    with library("mmengine"):
        yield import_adapter("mmdet_backbone")


@pytest.mark.parametrize("name", ["GoogLeNet", "GoogLeNetBackbone"])
def test_the_registry_builds_the_backbone_by_its_name(adapter: ModuleType, name: str) -> None:
    from mmengine.registry import MODELS

    backbone = MODELS.build({"type": name, "variant": "paper_bn", "out_indices": (1, 2, 3, 4)}).eval()
    assert isinstance(backbone, adapter.GoogLeNetBackbone)
    maps = backbone(torch.zeros(1, 3, 64, 96))
    assert isinstance(maps, tuple)
    assert [map_.shape for map_ in maps] == [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in ((192, 4), (480, 8), (832, 16), (1024, 32))
    ]


@pytest.mark.parametrize(
    ("host", "bgr_to_rgb"),
    [(IMAGENET, True), (Preprocessing("BGR", (103.53, 116.28, 123.675), (1.0, 1.0, 1.0)), False)],
)
def test_mmdet_s_images_reach_bvlc_weights_as_these_want_them(
    adapter: ModuleType, tmp_path: Path, host: Preprocessing, bgr_to_rgb: bool
) -> None:
    weights = str(write_bvlc_like(tmp_path / "bvlc.npz"))
    backbone = adapter.GoogLeNetBackbone(
        weights=weights, out_indices=(3,), mean=list(host.mean), std=list(host.scale), bgr_to_rgb=bgr_to_rgb
    ).eval()
    image = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = googlenet_of(random_network()).maps(prepare_image(image, BVLC), ("4e",))["4e"]
        (found,) = backbone(prepare_image(image, host))
        assert float((found - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


@pytest.mark.parametrize("frozen_stages", range(-1, 5))
def test_frozen_stages_count_from_the_stem(adapter: ModuleType, frozen_stages: int) -> None:
    backbone = adapter.GoogLeNetBackbone("paper_bn", frozen_stages=frozen_stages).train()
    trunk = backbone.features.backbone
    stages = [trunk.conv1, trunk.conv2, *(trunk.inception[name] for name in ("3a", "4a", "5a"))]
    frozen = [not any(p.requires_grad for p in stage.parameters()) for stage in stages]
    assert frozen == [index <= frozen_stages for index in range(5)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frozen_stages": 5}, r"frozen_stages must be in -1\.\.4, got 5"),
        ({"frozen_stages": -2}, r"frozen_stages must be in -1\.\.4, got -2"),
        ({"out_indices": (1, 5)}, r"out_indices must be in -5\.\.4, got 5"),
        ({"mean": [1.0, 2.0]}, r"mean must be three numbers in .*, got \[1\.0, 2\.0\]"),
        ({"std": [1.0, 2.0, 0.0]}, r"std must be three numbers in 1e-06\.\..*, got \[1\.0, 2\.0, 0\.0\]"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_range(
    adapter: ModuleType, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        adapter.GoogLeNetBackbone(**arguments)


@pytest.mark.parametrize("norm_eval", [True, False])
def test_norm_eval_keeps_the_batch_statistics(adapter: ModuleType, norm_eval: bool) -> None:
    backbone = adapter.GoogLeNetBackbone("paper_bn", norm_eval=norm_eval).train()
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {not norm_eval}


@needs_mmengine
def test_a_checkpoint_comes_by_init_cfg(adapter: ModuleType, tmp_path: Path) -> None:
    saved = adapter.GoogLeNetBackbone(weights=str(write_bvlc_like(tmp_path / "bvlc.npz"))).eval()
    torch.save(saved.state_dict(), tmp_path / "backbone.pth")
    settings = {"type": "Pretrained", "checkpoint": str(tmp_path / "backbone.pth")}
    backbone = adapter.GoogLeNetBackbone(init_cfg=settings).eval()
    backbone.init_weights()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for found, wanted in zip(backbone(images), saved(images), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@needs_mmengine
def test_init_weights_leaves_loaded_weights_alone(adapter: ModuleType, tmp_path: Path) -> None:
    backbone = adapter.GoogLeNetBackbone(weights=str(write_bvlc_like(tmp_path / "bvlc.npz")))
    backbone.init_weights()
    wanted = random_network().backbone.state_dict()
    for key, value in backbone.features.backbone.state_dict().items():
        torch.testing.assert_close(value, wanted[key], rtol=0, atol=0)
