import importlib.util
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import randomise
from trunk_passes import counted_maps

from detector.config import DetectSettings, EngineSettings, EnsembleSettings, RegionSettings
from detector.inference.engine import ImageScorer, RegionEngine, make_engine
from detector.inference.ensemble import EnsembleEngine, Model
from detector.inference.models import ModelFiles, open_scorer
from detector.inference.shared_engine import SharedEngine
from detector.networks.backbones import make_backbone
from detector.networks.backbones.googlenet import SHARED
from detector.networks.heads import BoxHead, SvmHead
from detector.networks.member import Ensemble, Member
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import (
    ImageRegions,
    SharedClassifier,
    mirror_boxes,
    place_regions,
    scale_image,
    trunk_digest,
)
from detector.networks.warp import IMAGENET, prepare_image
from detector.networks.weight_files.weights import save_model
from detector.records import Float32, Image

REGION = RegionSettings(mode="shared", crop_size=48, padding=4, shared_side=64)
REGIONS = {
    "one scale": REGION,
    "scales and crops": REGION.model_copy(update={"shared_side": (48, 96), "wide_padding": 10, "fill": "image"}),
}
SETTINGS = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4)


def make_network(region: RegionSettings = REGION, seed: int = 0) -> SharedClassifier:
    network = SharedClassifier(make_backbone("paper_bn"), 4, 0.4, region)
    randomise(network, seed)
    return network.eval()


def make_image(seed: int, regions: int) -> tuple[Image, Float32]:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    corner = random.uniform(0, 20, (regions, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 20, (regions, 2))], 1)
    return image, boxes.astype(np.float32)


@torch.inference_mode()
def in_training(network: SharedClassifier, image: Image, boxes: Float32) -> Float32:
    """The probabilities by the network as it is trained, the regions of one image in one pass."""
    if not len(boxes):
        return np.empty((0, 4), np.float32)
    prepared = prepare_image(torch.from_numpy(image), IMAGENET)
    sizes, windows = place_regions(torch.from_numpy(boxes), 40, 60, network.region, SHARED)
    return network([ImageRegions(scale_image(prepared, sizes), windows)]).softmax(1).numpy()


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("region", list(REGIONS.values()), ids=list(REGIONS))
def test_regions_are_scored_as_in_training_however_they_are_packed(
    region: RegionSettings, batch_size: int
) -> None:
    network = make_network(region)
    images = [make_image(seed, regions) for seed, regions in enumerate([5, 0, 1, 9, 3])]
    engine = RegionEngine(network, IMAGENET, region, SETTINGS.model_copy(update={"batch_size": batch_size}))
    results = list(engine.describe(images))
    assert len(results) == len(images)
    for result, (image, boxes) in zip(results, images, strict=True):
        np.testing.assert_array_equal(result.boxes, boxes)
        assert result.features.shape == (len(boxes), 1024 * len(region.paddings))
        np.testing.assert_allclose(result.probs, in_training(network, image, boxes), atol=1e-5)


def test_bf16_scores_are_close_to_fp32() -> None:
    network, images = make_network(), [make_image(0, 20)]
    full, half = (
        next(RegionEngine(network, IMAGENET, REGION, SETTINGS.model_copy(update={"precision": p})).score(images))
        for p in ("fp32", "bf16")
    )
    np.testing.assert_allclose(full.probs, half.probs, atol=0.05)


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")
def test_another_backend_gives_the_same_scores() -> None:
    network, images = make_network(), [make_image(0, 6)]
    ours, theirs = (
        next(RegionEngine(network, IMAGENET, REGION, SETTINGS.model_copy(update={"backend": b})).score(images))
        for b in ("torch", "openvino")
    )
    np.testing.assert_allclose(ours.probs, theirs.probs, atol=1e-3)


def test_an_engine_is_loaded_from_the_file_of_a_network_that_was_trained_so(tmp_path: Path) -> None:
    network, images = make_network(), [make_image(0, 5)]
    save_model(tmp_path / "m.safetensors", network, IMAGENET, region=REGION.model_dump())
    engine = RegionEngine.load(tmp_path / "m.safetensors", settings=SETTINGS)
    assert isinstance(engine.crops, SharedEngine)
    np.testing.assert_allclose(next(engine.score(images)).probs, in_training(network, *images[0]), atol=1e-5)


def test_members_share_no_maps_but_their_own() -> None:
    warped = RegionSettings(crop_size=48, padding=4)
    members = [Member(make_network(seed=seed)) for seed in (1, 2)]
    models = [Model(members[0], IMAGENET, REGION), Model(members[1], IMAGENET, REGION)]
    images = [make_image(0, 5), make_image(1, 0), make_image(2, 2)]
    mixed = EnsembleEngine([*models, Model(members[0], IMAGENET, warped)], SETTINGS)
    alone = [EnsembleEngine([model], SETTINGS) for model in (*models, Model(members[0], IMAGENET, warped))]
    parts = zip(*(engine.score(images) for engine in alone), strict=True)
    for found, wanted in zip(mixed.score(images), parts, strict=True):
        np.testing.assert_allclose(found.scores, np.mean([part.scores for part in wanted], axis=0), atol=1e-5)


def saved(folder: Path, name: str, network: RegionClassifier) -> Path:
    """The file of a network whose regions are seen as `REGION` says."""
    path = folder / f"{name}.safetensors"
    save_model(path, network, IMAGENET, classes=["a", "b", "c"], region=REGION.model_dump())
    return path


def opened(files: Sequence[ModelFiles]) -> ImageScorer:
    return open_scorer(files, EnsembleSettings(), SETTINGS, DetectSettings())


def with_another_tail(network: RegionClassifier) -> RegionClassifier:
    """A network whose trunk alone is that of `network`."""
    other = deepcopy(network)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name.startswith(("backbone.inception.5a", "classifier")):
                parameter.mul_(1.1)
    return other


def test_networks_of_one_trunk_make_its_map_once_and_score_as_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = make_network(), make_network(seed=1)
    networks = {"first": first, "tail": with_another_tail(first), "other": other}
    files = [ModelFiles(saved(tmp_path, name, network)) for name, network in networks.items()]
    images = [make_image(0, 5), make_image(1, 0), make_image(2, 2)]
    alone = [list(opened([each]).score(images)) for each in files]
    passes = counted_maps(monkeypatch)
    together = list(opened(files).score(images))
    assert sum(passes) == 2 * 2  # images with regions, trunks
    assert not np.allclose(alone[0][0].scores, alone[1][0].scores, atol=1e-4)
    for found, parts in zip(together, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(found.scores, np.mean([part.scores for part in parts], axis=0), atol=1e-6)


def test_rounds_make_the_map_of_an_image_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [ModelFiles(saved(tmp_path, "network", make_network()))]
    passes = counted_maps(monkeypatch)
    scorer = open_scorer(files, EnsembleSettings(), SETTINGS, DetectSettings(iterations=2, min_score=0))
    found = list(scorer.score([make_image(0, 5), make_image(1, 3)]))
    assert all(len(each.boxes) > count for each, count in zip(found, (5, 3), strict=True))
    assert sum(passes) == 2


@pytest.mark.parametrize(("variant", "step"), [("tiny", 1), ("paper_bn", 7)])  # each kind of tensor is among them
@torch.inference_mode()
def test_a_digest_is_of_all_that_makes_maps_and_of_nothing_else(variant: str, step: int) -> None:
    backbone = make_backbone(variant)
    randomise(backbone, 0)
    backbone.eval()
    image = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    before, digest = backbone.trunk(image), trunk_digest(backbone)
    ours = 0
    for name, tensor in list(backbone.state_dict(keep_vars=True).items())[::step]:
        if name.endswith("num_batches_tracked"):
            continue
        kept = tensor.detach().clone()
        tensor.detach().mul_(1.5).add_(0.5)
        is_ours = not torch.equal(backbone.trunk(image), before)
        assert (trunk_digest(backbone) != digest) == is_ours, name
        tensor.detach().copy_(kept)
        ours += is_ours
    assert 0 < ours < len(backbone.state_dict())
    assert trunk_digest(backbone) == digest
    assert not any(module._forward_hooks for module in backbone.modules())


def test_a_mirrored_member_sees_the_mirrored_image() -> None:
    network = make_network()
    head = BoxHead(
        torch.randn(3, 4, 1024 * 4, generator=torch.Generator().manual_seed(0)) / 100, torch.ones(3, 4), 2
    )
    svm = SvmHead(torch.randn(3, 1024, generator=torch.Generator().manual_seed(1)), torch.zeros(3))
    image, boxes = make_image(0, 6)
    turned = mirror_boxes(torch.from_numpy(boxes), 60).numpy()
    mirrored = make_engine(Ensemble([Member(network, svm, head, mirrored=True)]), IMAGENET, REGION, SETTINGS, True)
    plain = make_engine(Ensemble([Member(network, svm, head)]), IMAGENET, REGION, SETTINGS)
    (_, found), (_, wanted) = (
        next(mirrored.run([(image, boxes)])),
        next(plain.run([(image[:, ::-1].copy(), turned)])),
    )
    np.testing.assert_allclose(found["scores"], wanted["scores"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["moves"][..., 0], -wanted["moves"][..., 0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["moves"][..., 1:], wanted["moves"][..., 1:], rtol=1e-3, atol=1e-3)


def test_a_module_of_several_networks_is_refused() -> None:
    with pytest.raises(ValueError, match="must have one network, got 2"):
        SharedEngine(Ensemble([Member(make_network(seed=s)) for s in (1, 2)]), IMAGENET, REGION, SETTINGS)
