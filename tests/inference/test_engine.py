from pathlib import Path

import numpy as np
import pytest
import torch

from detector.config import EngineSettings, RegionSettings
from detector.errors import ConfigError, DataError
from detector.inference.engine import RegionEngine
from detector.networks.backbones import make_backbone
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import IMAGENET, crop_regions, prepare_image
from detector.networks.weight_files.weights import save_model
from detector.records import Float32, Image

REGION = RegionSettings(crop_size=32, padding=3)
TWO_CROPS = RegionSettings(crop_size=32, padding=3, wide_padding=10, fill="image")


def make_network(crops: int = 1) -> RegionClassifier:
    torch.manual_seed(0)
    network = RegionClassifier(make_backbone("paper_bn"), 4, crops=crops)
    torch.nn.init.normal_(network.classifier.weight, std=0.3)
    return network


def make_image(seed: int, regions: int) -> tuple[Image, Float32]:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    corner = random.uniform(0, 20, (regions, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 20, (regions, 2))], 1)
    return image, boxes.astype(np.float32)


def one_region_a_pass(
    network: RegionClassifier, image: Image, boxes: Float32, region: RegionSettings
) -> np.ndarray:
    """The plain way: one region, one forward pass."""
    prepared = prepare_image(torch.from_numpy(image), IMAGENET)
    rows = []
    with torch.inference_mode():
        for box in torch.from_numpy(boxes):
            rows.append(network.eval()(crop_regions(prepared, box[None], region)).softmax(1).numpy())
    return np.concatenate(rows) if rows else np.empty((0, 4), np.float32)


@pytest.mark.parametrize(
    ("batch_size", "region"), [(1, REGION), (4, REGION), (7, REGION), (64, REGION), (4, TWO_CROPS)]
)
def test_packing_across_images_changes_no_score(batch_size: int, region: RegionSettings) -> None:
    network = make_network(len(region.paddings))
    images = [make_image(seed, regions) for seed, regions in enumerate([5, 0, 1, 9, 3])]
    settings = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=batch_size)
    results = list(RegionEngine(network, IMAGENET, region, settings).score(images))
    assert len(results) == len(images)
    for result, (image, boxes) in zip(results, images, strict=True):
        np.testing.assert_array_equal(result.boxes, boxes)
        np.testing.assert_allclose(result.probs, one_region_a_pass(network, image, boxes, region), atol=1e-5)


def test_an_image_is_given_back_as_soon_as_its_regions_are_scored() -> None:
    read: list[int] = []

    def images() -> object:
        for seed in range(6):
            read.append(seed)
            yield make_image(seed, 4)

    engine = RegionEngine(
        make_network(),
        IMAGENET,
        REGION,
        EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4),
    )
    results = engine.score(images())  # type: ignore[arg-type]
    next(results)
    assert read == [0]


def test_no_images_give_no_results() -> None:
    engine = RegionEngine(
        make_network(), IMAGENET, REGION, EngineSettings(device="cpu", backend="torch", batch_size=4)
    )
    assert list(engine.score([])) == []


def test_bf16_scores_are_close_to_fp32() -> None:
    network, images = make_network(), [make_image(0, 20)]
    full, half = (
        next(
            RegionEngine(
                network, IMAGENET, REGION, EngineSettings(device="cpu", backend="torch", precision=p)
            ).score(images)
        )
        for p in ("fp32", "bf16")
    )
    np.testing.assert_allclose(full.probs, half.probs, atol=0.03)


def test_the_classifier_computes_in_float32_whatever_the_network_does() -> None:
    """Logits of bf16 above 8 are multiples of 1/16: regions would score alike."""
    network = make_network()
    settings = EngineSettings(device="cpu", backend="torch", precision="bf16")
    found = next(RegionEngine(network, IMAGENET, REGION, settings).describe([make_image(0, 20)]))
    with torch.no_grad():
        probs = network.classifier(torch.from_numpy(found.features)).softmax(1)
    np.testing.assert_allclose(found.probs, probs, atol=1e-6)


def test_the_caller_s_network_is_left_as_it_was() -> None:
    network = make_network().train()
    RegionEngine(network, IMAGENET, REGION, EngineSettings(device="cpu", backend="torch", precision="bf16"))
    assert network.training
    assert next(network.parameters()).dtype == torch.float32


def test_features_come_with_the_probabilities_they_give() -> None:
    network = make_network().eval()
    images = [make_image(seed, regions) for seed, regions in enumerate([3, 0, 2])]
    engine = RegionEngine(
        network, IMAGENET, REGION, EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4)
    )
    for found, scores in zip(engine.describe(images), engine.score(images), strict=True):
        assert found.features.shape == (len(found.boxes), 1024)
        np.testing.assert_array_equal(found.probs, scores.probs)
        with torch.inference_mode():
            probs = network.classifier(torch.from_numpy(found.features)).softmax(1).numpy()
        np.testing.assert_allclose(found.probs, probs, atol=1e-6)


def test_an_engine_is_loaded_from_a_file_with_the_regions_it_was_trained_on(tmp_path: Path) -> None:
    network, images = make_network(), [make_image(0, 5)]
    save_model(tmp_path / "m.safetensors", network, IMAGENET, region=REGION.model_dump())
    settings = EngineSettings(device="cpu", backend="torch", precision="fp32")
    loaded = RegionEngine.load(tmp_path / "m.safetensors", settings=settings)
    assert loaded.crops.region == REGION
    one, two = (next(e.score(images)) for e in (loaded, RegionEngine(network, IMAGENET, REGION, settings)))
    np.testing.assert_array_equal(one.probs, two.probs)


@pytest.mark.parametrize(
    ("crops", "region", "message"),
    [
        (2, REGION, r"^region.wide_padding must be above 0 for a network of 2 crops a region, got 0$"),
        (1, TWO_CROPS, r"^region.wide_padding must be 0 for a network of 1 crops a region, got 10$"),
    ],
)
def test_crops_that_the_network_was_not_made_for_are_refused(
    crops: int, region: RegionSettings, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        RegionEngine(make_network(crops), IMAGENET, region, EngineSettings(device="cpu", backend="torch"))


def test_regions_of_two_crops_have_twice_the_features() -> None:
    settings = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4)
    engine = RegionEngine(make_network(2), IMAGENET, TWO_CROPS, settings)
    found = list(engine.describe([make_image(0, 3), make_image(1, 0)]))
    assert [each.features.shape for each in found] == [(3, 2048), (0, 2048)]


def test_weights_too_large_for_the_precision_are_told_with_their_file(tmp_path: Path) -> None:
    network = make_network()
    for key in ("classifier.weight", "backbone.inception.5b.conv1.norm.weight"):
        network.state_dict()[key].fill_(1e30)
    path = tmp_path / "large.safetensors"
    save_model(path, network, IMAGENET)
    settings = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4)
    engine = RegionEngine.load(path, REGION, settings)
    with pytest.raises(DataError) as caught:
        list(engine.score([make_image(0, 3)]))
    assert str(caught.value) == (
        "probs of the network must be finite, got NaN or infinity: its weights are too large for"
        f" engine.precision fp32 ({path})"
    )
