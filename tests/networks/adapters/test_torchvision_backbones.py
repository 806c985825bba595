from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bvlc_like import random_network, write_bvlc_like
from scripting import script
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from detector.errors import ConfigError
from detector.networks.adapters.torchvision_backbones import googlenet_backbone, googlenet_fpn_backbone
from detector.networks.preprocessing import BVLC, prepare_image

SIZES = {"min_size": 96, "max_size": 160}


def faster_rcnn() -> FasterRCNN:
    return FasterRCNN(googlenet_fpn_backbone("paper_bn"), num_classes=3, **SIZES)


def faster_rcnn_of_one_map() -> FasterRCNN:
    anchors = AnchorGenerator(((32, 64, 128),), ((0.5, 1.0, 2.0),))
    return FasterRCNN(googlenet_backbone("paper_bn"), num_classes=3, rpn_anchor_generator=anchors, **SIZES)


def retinanet() -> RetinaNet:
    blocks = LastLevelP6P7(256, 256)
    backbone = googlenet_fpn_backbone("paper_bn", out_indices=(2, 3, 4), extra_blocks=blocks)
    return RetinaNet(backbone, num_classes=3, **SIZES)


def pictures() -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(3, height, width, generator=generator) for height, width in ((90, 120), (110, 101))]


def targets() -> list[dict[str, Tensor]]:
    """One object, and none."""
    return [
        {"boxes": torch.tensor([[20.0, 10, 80, 70]]), "labels": torch.tensor([2])},
        {"boxes": torch.empty(0, 4), "labels": torch.empty(0, dtype=torch.int64)},
    ]


@pytest.mark.parametrize("build", [faster_rcnn, faster_rcnn_of_one_map, retinanet])
def test_torchvision_s_detectors_train_and_detect(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    detector = build()
    losses = detector.train()(pictures(), targets())
    assert losses
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    gradient = detector.get_parameter("backbone.body.backbone.conv1.conv.weight").grad
    assert gradient is not None
    assert gradient.abs().max() > 0
    with torch.inference_mode():
        found = detector.eval()(pictures())
    assert [set(detections) for detections in found] == [{"boxes", "labels", "scores"}] * 2


@pytest.mark.filterwarnings("ignore:.*always returns a .* tuple in scripting")
@pytest.mark.parametrize("build", [faster_rcnn_of_one_map, retinanet])
def test_torchvision_s_detectors_are_scripted(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    detector = build().eval()
    for part in detector.modules():
        if hasattr(part, "score_thresh"):
            setattr(part, "score_thresh", 0.0)  # noqa: B010 - no attribute of every module
    scripted = script(detector)
    images = [torch.rand(3, SIZES["min_size"], 128) for _ in range(2)]  # torchvision would scale others otherwise
    with torch.inference_mode():
        _, found = scripted(images)
        wanted = detector(images)
    assert all(len(each["boxes"]) for each in wanted)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), [(97, 201), (64, 96)])
def test_the_levels_of_the_pyramid_have_their_strides(height: int, width: int) -> None:
    maps = googlenet_fpn_backbone("paper_bn").eval()(torch.zeros(1, 3, height, width))
    assert list(maps) == ["0", "1", "2", "3", "pool"]
    for map_, stride in zip(maps.values(), (4, 8, 16, 32, 64), strict=True):
        assert map_.shape[1] == 256
        assert abs(map_.shape[2] - height / stride) <= 1
        assert abs(map_.shape[3] - width / stride) <= 1


def test_a_detector_s_images_reach_bvlc_weights_as_these_want_them(tmp_path: Path) -> None:
    """By default: the detector normalises pixels in 0..1 by ImageNet's numbers, the backbone takes that back."""
    backbone = googlenet_backbone(weights=write_bvlc_like(tmp_path / "bvlc.npz"))
    detector = FasterRCNN(backbone, 2, rpn_anchor_generator=AnchorGenerator(((32,),), ((1.0,),))).eval()
    image = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        seen = detector.transform.normalize(image.permute(2, 0, 1) / 255)[None]
        wanted = random_network().backbone(prepare_image(image, BVLC))
        found = detector.backbone(seen)
        assert float((found - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


def trained(backbone: nn.Module) -> set[str]:
    """The top modules of the trunk that are trained."""
    trunk = backbone.get_submodule("body.backbone")
    return {
        name
        for key, p in trunk.named_parameters()
        for name in [key.split(".")[1] if key.startswith("inception") else key.split(".")[0]]
        if p.requires_grad
    }


def test_a_pretrained_network_is_trained_from_3a_and_an_initial_one_whole(tmp_path: Path) -> None:
    path = write_bvlc_like(tmp_path / "bvlc.npz")
    assert trained(googlenet_backbone()) >= {"conv1", "conv2", "3a", "5b"}
    fine_tuned = trained(googlenet_backbone(weights=path))
    assert {"3a", "5b"} <= fine_tuned
    assert not fine_tuned & {"conv1", "conv2", "conv2_reduce"}
    assert trained(googlenet_backbone(weights=path, trainable_layers=1)) == {"5a", "5b"}
    assert not trained(googlenet_backbone(weights=path, trainable_layers=0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trainable_layers": 6}, r"trainable_layers must be in 0\.\.5, got 6"),
        ({"out_indices": (3, 2)}, r"out_indices must rise, got \(3, 2\)"),
        ({"out_indices": (5,)}, r"out_indices must be in -5\.\.4, got 5"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        googlenet_fpn_backbone(**arguments)
