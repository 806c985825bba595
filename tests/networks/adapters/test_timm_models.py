import importlib
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from bvlc_like import random_network, write_bvlc_like, write_our_own
from random_networks import googlenet_of
from scripting import script
from torch import Tensor

from detector.data.images import read_image
from detector.errors import ConfigError, DataError
from detector.networks.backbones import make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import DESIGNS
from detector.networks.features import LAST_MAPS
from detector.networks.preprocessing import BVLC, IMAGENET, prepare_image
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.safetensors_files import state_hash
from detector.networks.weight_files.sources import SOURCES
from detector.networks.weight_files.weights import load_pretrained, read_weights

timm = pytest.importorskip("timm")
pytest.importorskip("detector.networks.adapters.timm_models")
from timm.models import FeatureHookNet, FeatureListNet  # noqa: E402 - where timm is installed

NAMES = [f"googlenet_{variant}" for variant in DESIGNS]


@pytest.fixture(scope="module")
def bvlc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bvlc_like(tmp_path_factory.mktemp("weights") / "bvlc.npz")


def create(name: str, file: Path | None = None, **arguments: Any) -> Any:
    overlay = {} if file is None else {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}}
    return timm.create_model(name, **overlay, **arguments).eval()


def as_timm_prepares(model: Any, image: Tensor) -> Tensor:
    """RGB pixels (H, W, 3) as timm normalises them, without its resizing."""
    settings = timm.data.resolve_model_data_config(model)
    mean, std = (torch.tensor(settings[key])[:, None, None] for key in ("mean", "std"))
    return ((image.permute(2, 0, 1) / 255 - mean) / std)[None]


def photograph() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (64, 97, 3), dtype=torch.uint8, generator=generator)


def test_timm_knows_the_models() -> None:
    assert set(timm.list_models("googlenet_*")) == set(NAMES)
    assert set(timm.list_pretrained("googlenet_*")) == {
        "googlenet_paper.bvlc_in1k",
        "googlenet_torchvision.tv_in1k",
    }


@pytest.mark.parametrize("variant", DESIGNS)
def test_a_model_made_by_timm_equals_ours(variant: Variant) -> None:
    ours = random_network(variant, 7)
    model = create(f"googlenet_{variant}", num_classes=7)
    model.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 80)
    with torch.inference_mode():
        torch.testing.assert_close(model(images), ours(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", DESIGNS)
def test_the_features_are_our_maps(variant: Variant) -> None:
    ours = random_network(variant)
    model = create(f"googlenet_{variant}", features_only=True)
    model.model.load_state_dict({k: v for k, v in ours.state_dict().items() if k.startswith("backbone")})
    assert model.feature_info.channels() == [64, 192, 480, 832, 1024]
    assert model.feature_info.reduction() == [2, 4, 8, 16, 32]
    images = torch.randn(1, 3, 64, 80)
    with torch.inference_mode():
        wanted = googlenet_of(ours).maps(images, LAST_MAPS)
        for found, name in zip(model(images), LAST_MAPS, strict=True):
            torch.testing.assert_close(found, wanted[name])


@pytest.mark.parametrize("indices", [(2, 3), (-1,), (0,)])
def test_features_are_chosen_by_their_indices(indices: tuple[int, ...]) -> None:
    model = create("googlenet_paper", features_only=True, out_indices=indices)
    maps = model(torch.randn(1, 3, 64, 64))
    assert [map_.shape[1] for map_ in maps] == model.feature_info.channels()
    assert [64 // map_.shape[2] for map_ in maps] == model.feature_info.reduction()


@pytest.mark.parametrize(
    ("variant", "extractor"),
    [
        *product(["paper"], ["list", "dict", "hook", "fx", FeatureListNet, FeatureHookNet]),
        *product(["paper_bn", "torchvision"], ["list", "fx"]),
    ],
)
def test_every_extractor_of_timm_s_finds_the_same_maps(variant: Variant, extractor: Any) -> None:
    models = []
    for chosen in (None, extractor):
        torch.manual_seed(0)
        settings: dict[str, Any] = {"features_only": True, "out_indices": (1, 3), "feature_cls": chosen}
        models.append(create(f"googlenet_{variant}", **settings))
    images = torch.randn(1, 3, 64, 80)
    with torch.inference_mode():
        wanted, found = (model(images) for model in models)
    if extractor == "dict":
        assert list(found) == ["1", "3"]
        found = list(found.values())
    assert models[1].feature_info.channels() == [192, 832]
    assert models[1].feature_info.reduction() == [4, 16]
    for each, same in zip(found, wanted, strict=True):
        torch.testing.assert_close(each, same, rtol=0, atol=0)


@pytest.mark.parametrize("extractor", ["tree", 5])
def test_an_extractor_that_timm_has_not_is_named(extractor: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"^feature_cls must be one of getter, list, dict, hook, fx or a class, got"
    ):
        create("googlenet_paper", features_only=True, feature_cls=extractor)


@pytest.mark.parametrize("extractor", ["", "list"])
def test_models_and_their_features_are_scripted(extractor: str) -> None:
    settings: dict[str, Any] = {"features_only": True, "feature_cls": extractor} if extractor else {}
    model = create("googlenet_paper", **settings)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(script(model)(images), model(images), rtol=0, atol=0)


def test_bvlc_weights_see_the_image_they_were_trained_on(bvlc: Path) -> None:
    model = create("googlenet_paper", bvlc)
    settings = timm.data.resolve_model_data_config(model)
    assert settings["mean"] == tuple(value / 255 for value in (123, 117, 104))
    assert settings["std"] == (1 / 255,) * 3
    image = photograph()
    with torch.inference_mode():
        wanted = random_network()(prepare_image(image, BVLC))
        found = model(as_timm_prepares(model, image))
        assert float((found - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


def test_features_of_bvlc_weights_see_it_too(bvlc: Path) -> None:
    model = create("googlenet_paper", bvlc, features_only=True, out_indices=(3,))
    image = photograph()
    with torch.inference_mode():
        wanted = googlenet_of(random_network()).maps(prepare_image(image, BVLC), ("4e",))["4e"]
        (found,) = model(as_timm_prepares(model, image))
        assert float((found - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


def test_a_file_brings_its_own_normalisation(tmp_path: Path) -> None:
    path = write_our_own(tmp_path / "w.safetensors", "paper", IMAGENET)
    model = create("googlenet_paper", path, num_classes=3)
    settings = timm.data.resolve_model_data_config(model)
    assert settings["mean"] == pytest.approx((0.485, 0.456, 0.406))
    assert settings["std"] == pytest.approx((0.229, 0.224, 0.225))


def test_another_number_of_classes_keeps_a_new_classifier(bvlc: Path) -> None:
    model = create("googlenet_paper", bvlc, num_classes=5)
    assert model.get_classifier().weight.shape == (5, 1024)
    wanted = googlenet_of(random_network()).conv2.conv.weight
    torch.testing.assert_close(model.backbone.conv2.conv.weight, wanted)


def test_a_model_without_a_classifier_gives_features(bvlc: Path) -> None:
    model = create("googlenet_paper", bvlc, num_classes=0)
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, model.num_features)
    model = create("googlenet_paper", num_classes=0, global_pool="")
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 1024, 2, 2)


def test_grey_images_are_seen_as_grey_colours(bvlc: Path) -> None:
    model, colours = create("googlenet_paper", bvlc, in_chans=1), create("googlenet_paper", bvlc)
    grey = 100 * torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model(grey), colours(grey.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-3)


def test_the_head_can_be_reset_and_used_alone() -> None:
    model = create("googlenet_paper_bn", num_classes=3)
    maps = model.forward_features(torch.randn(1, 3, 64, 64))
    assert maps.shape == (1, 1024, 2, 2)
    assert model.forward_head(maps, pre_logits=True).shape == (1, model.head_hidden_size)
    model.reset_classifier(9)
    assert (model.num_classes, model.forward_head(maps).shape) == (9, (1, 9))
    model.reset_classifier(9, "catavgmax")
    assert model.forward_head(maps).shape == (1, 9)
    assert model.forward_head(maps, pre_logits=True).shape == (1, model.head_hidden_size) == (1, 2048)


def test_intermediates_come_with_the_last_map_or_alone() -> None:
    model = create("googlenet_paper_bn")
    images = torch.randn(1, 3, 64, 64)
    last, found = model.forward_intermediates(images, indices=[1, 2])
    assert (last.shape[1], [map_.shape[1] for map_ in found]) == (1024, [192, 480])
    last, _ = model.forward_intermediates(images, indices=[1, 2], stop_early=True)
    assert last.shape[1] == 480
    assert len(model.forward_intermediates(images, indices=2, intermediates_only=True)) == 2


def test_a_pruned_model_ends_with_its_last_map() -> None:
    model = create("googlenet_paper")
    assert model.prune_intermediate_layers([1, -3]) == [1, 2]
    assert model.train()(torch.randn(1, 3, 64, 64)).shape == (1, 480, 8, 8)
    assert not [name for name, _ in model.named_parameters() if "inception.4" in name or "classifier" in name]


def test_the_layers_are_grouped_in_their_order() -> None:
    from timm.models import group_parameters

    model = create("googlenet_paper_bn")
    groups = group_parameters(model, model.group_matcher(), reverse=True)
    assert set(groups) == {name for name, _ in model.named_parameters()}
    order = [groups[key] for key in ("backbone.conv1.conv.weight", "backbone.inception.3a.conv1.conv.weight")]
    order += [groups["backbone.inception.5b.conv1.conv.weight"], groups["classifier.bias"]]
    assert order == [0, 1, 9, 10]
    coarse = group_parameters(model, model.group_matcher(coarse=True), reverse=True)
    assert max(coarse.values()) == 4


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_can_be_switched_on(name: str) -> None:
    model = create(name, num_classes=2).train()
    model.set_grad_checkpointing()
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_weights_of_another_variant_are_named(bvlc: Path) -> None:
    with pytest.raises(DataError, match=r"of the variant torchvision, got those of paper"):
        create("googlenet_torchvision", bvlc)


def test_nobody_published_weights_with_batch_normalisation() -> None:
    with pytest.raises(RuntimeError, match="No pretrained weights exist for googlenet_paper_bn"):
        timm.create_model("googlenet_paper_bn", pretrained=True)


def test_published_weights_are_looked_for_where_they_were_put(
    tmp_path: Path, bvlc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "bvlc_googlenet.npz").symlink_to(bvlc)
    published = replace(SOURCES["bvlc"], values=state_hash(read_weights(bvlc).state))
    monkeypatch.setitem(SOURCES, "bvlc", published)
    model = timm.create_model("googlenet_paper", pretrained=True)
    torch.testing.assert_close(model.classifier.weight, random_network().classifier.weight)


def test_without_timm_the_remedy_is_told() -> None:
    name = "detector.networks.adapters.timm_models"
    with patch.dict(sys.modules, {"timm.layers": None}):
        del sys.modules[name]
        with pytest.raises(
            ImportError, match=r"timm must be installed .*: pip install 'googlenet-detector\[timm\]'$"
        ):
            importlib.import_module(name)


@pytest.mark.shared
def test_photographs_prepared_by_timm_are_classified_as_ours(shared: Path) -> None:
    import PIL.Image

    path = shared / "weights" / "bvlc_googlenet.npz"
    ours = RegionClassifier(make_backbone("paper"), 1000).eval()
    preprocessing = load_pretrained(ours, path)
    model = create("googlenet_paper", path)
    settings = timm.data.resolve_model_data_config(model)
    # 227x227 files: resized to 256, the middle 224 cut out; without the resizing, pixels are the same in both
    transform = timm.data.create_transform(**settings | {"crop_pct": 224 / 227})
    best, wanted = [], []
    with torch.inference_mode():
        for file in sorted((shared / "data" / "ilsvrc_cls_mini" / "images").iterdir())[:8]:
            with PIL.Image.open(file) as image:
                prepared = transform(image.convert("RGB"))[None]
            middle = torch.from_numpy(read_image(file)[2:226, 2:226].copy())
            torch.testing.assert_close(prepared, prepare_image(middle, BVLC).flip(1), rtol=0, atol=1e-3)
            best.append(int(model(prepared).argmax()))
            wanted.append(int(ours(prepare_image(middle, preprocessing)).argmax()))
    assert best == wanted
