from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detector.config import EngineSettings
from detector.errors import ConfigError, DataError
from detector.inference.engine import RegionEngine
from detector.inference.held_image import Regions
from detector.inference.image_context import (
    Context,
    ContextFeatures,
    ContextScorer,
    Features,
    Seen,
    WholeImages,
    context_facts,
    log_odds,
    rescore,
)
from detector.networks.backbones import make_backbone
from detector.networks.context_maps import LinearRescoring, save_context
from detector.networks.heads import SvmHead, save_head
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import IMAGENET
from detector.networks.weight_files.safetensors_files import write_tensors
from detector.networks.weight_files.weights import save_model
from detector.records import Array, ClassScores, Float32, Image

NOTHING = Seen(np.empty(0, np.float32), np.empty(0, np.float32))
CLASSIC = Features("box", ("best",), by_svm=True)
SETTINGS = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4)


def random_regions(seed: int, count: int, classes: int) -> ClassScores:
    """Scores as SVMs give them, in an image of 80 x 100 pixels."""
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 40, (count, classes, 2))
    boxes = np.concatenate([corner, corner + random.uniform(1, 40, (count, classes, 2))], 2)
    return ClassScores(boxes.astype(np.float32), random.normal(size=(count, classes)).astype(np.float32))


def random_rescoring(seed: int, classes: int, own: int, image: int) -> LinearRescoring:
    torch.manual_seed(seed)
    return LinearRescoring(torch.randn(classes, own), torch.randn(classes, image), torch.randn(classes))


def test_log_odds_of_a_half_of_certainty_and_of_the_impossible() -> None:
    found = log_odds(np.array([[0.5, 0.8], [1, 0]], np.float32))
    np.testing.assert_allclose(found, [[0, np.log(4)], [13.8155, -13.8155]], atol=1e-4)


def test_the_classic_features_of_one_box() -> None:
    scores = ClassScores(
        np.array([[[10, 20, 50, 40], [0, 0, 100, 80]]], np.float32), np.array([[1.5, -2]], np.float32)
    )
    features = CLASSIC.of(scores, NOTHING, height=80, width=100)
    x1, y1, x2, y2 = 0.1, 0.25, 0.5, 0.5
    products = [x1 * x1, x1 * y1, x1 * x2, x1 * y2, y1 * y1, y1 * x2, y1 * y2, x2 * x2, x2 * y2, y2 * y2]
    np.testing.assert_allclose(features.own[0, 0], [1.5, x1, y1, x2, y2, *products], rtol=1e-6)
    np.testing.assert_allclose(features.own[0, 1], [-2, 0, 0, 1, 1, *[0] * 7, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(features.image, 1 / (1 + np.exp([-3, 4])), rtol=1e-6)


def test_a_linear_map_of_the_classic_features_can_be_the_area() -> None:
    scores = random_regions(0, 6, 2)
    own = CLASSIC.of(scores, NOTHING, height=80, width=100).own
    sides = scores.boxes[..., 2:] - scores.boxes[..., :2]
    terms = [f"{a}{b}" for i, a in enumerate(["x1", "y1", "x2", "y2"]) for b in ["x1", "y1", "x2", "y2"][i:]]
    weights = np.zeros(15)
    for term, factor in {"x1y1": 1, "x1y2": -1, "y1x2": -1, "x2y2": 1}.items():
        weights[5 + terms.index(term)] = factor
    np.testing.assert_allclose(own @ weights, sides[..., 0] * sides[..., 1] / 8000, rtol=1e-4)


def test_the_best_score_of_each_class_is_shared_by_all_regions() -> None:
    scores = random_regions(1, 7, 3)
    image = CLASSIC.of(scores, NOTHING, 80, 100).image
    np.testing.assert_allclose(
        image, [1 / (1 + np.exp(-2 * max(scores.scores[:, c]))) for c in range(3)], rtol=1e-5
    )


def test_probabilities_come_as_log_odds() -> None:
    scores = random_regions(1, 4, 2)
    probs = ClassScores(scores.boxes, (1 / (1 + np.exp(-scores.scores))).astype(np.float32))
    found = Features("box", ("best",), by_svm=False).of(probs, NOTHING, 80, 100)
    np.testing.assert_allclose(found.own, CLASSIC.of(scores, NOTHING, 80, 100).own, atol=1e-5)


def test_an_image_without_regions_has_features_and_no_scores() -> None:
    nothing = ClassScores(np.empty((0, 3, 4), np.float32), np.empty((0, 3), np.float32))
    features = CLASSIC.of(nothing, NOTHING, 80, 100)
    assert features.own.shape == (0, 3, 15)
    assert features.image.tolist() == [0, 0, 0]
    assert rescore(random_rescoring(0, 3, 15, 3), features).shape == (0, 3)


def test_what_an_image_tells_comes_in_the_order_asked_for() -> None:
    seen = Seen(np.array([3, 4], np.float32), np.array([0.5, 0.2], np.float32))
    classes = LinearRescoring(
        torch.zeros(3, 0), torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([0.0, 0, 1])
    )
    features = Features("scores", ("classes", "imagenet", "best", "global"), True, classes)
    best = np.array([0, -np.inf, 1], np.float32)
    wanted = [3, 4, 8, 0, np.log(0.25), 0.5, 0, 1 / (1 + np.exp(-2)), 3, 4]
    np.testing.assert_allclose(features.of_image(best, seen), wanted, rtol=1e-5)


@pytest.mark.parametrize("features", [CLASSIC, Features("scores", ("best", "global"), True)])
def test_scores_stay_what_they_are_until_something_is_learned(features: Features) -> None:
    scores = random_regions(2, 5, 3)
    seen = Seen(np.array([0.7, 0.2, 0.1, 5], np.float32), np.empty(0, np.float32))
    found = features.of(scores, seen, 80, 100)
    same = features.unchanged(3, len(found.image))
    np.testing.assert_array_equal(rescore(same, found), scores.scores)
    probs = Context(features, same).apply(scores, seen, 80, 100)
    np.testing.assert_allclose(log_odds(probs.scores), scores.scores, atol=1e-4)
    assert probs.boxes is scores.boxes


def test_scores_rescored_after_nms_keep_the_old_ones_beside_them() -> None:
    scores = random_regions(4, 5, 2)
    before = Context(CLASSIC, random_rescoring(0, 2, 15, 2))
    after = Context(CLASSIC, before.rescoring, after_nms=True).apply(scores, NOTHING, 80, 100)
    assert after.scores is scores.scores
    np.testing.assert_array_equal(after.rescored, before.apply(scores, NOTHING, 80, 100).scores)


@pytest.mark.parametrize("seed", range(2))
def test_rescoring_is_the_linear_map_of_the_features_side_by_side(seed: int) -> None:
    scores = random_regions(seed, 5, 3)
    seen = Seen(np.random.default_rng(seed).random(6).astype(np.float32), np.empty(0, np.float32))
    joined = Features("scores", ("global",), True).of(scores, seen, 80, 100)
    for features, size in ((joined, 3), (CLASSIC.of(scores, seen, 80, 100), 15)):
        rescoring = random_rescoring(seed, 3, size, len(features.image))
        weights = np.concatenate([rescoring.own.numpy(), rescoring.image.numpy()], axis=1)
        wanted = [
            [row(features, i, c) @ weights[c] + rescoring.bias[c].item() for c in range(3)] for i in range(5)
        ]
        np.testing.assert_allclose(rescore(rescoring, features), wanted, rtol=1e-4, atol=1e-5)


def row(features: ContextFeatures, region: int, column: int) -> Array:
    """The features of one region for one class, the image's behind its own."""
    own = features.own[region] if features.own.ndim == 2 else features.own[region, column]
    return np.concatenate([own, features.image])


def test_a_rescoring_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "context.safetensors"
    classes = random_rescoring(1, 2, 0, 6)
    features = Features("scores", ("best", "classes"), True, classes)
    save_context(path, {"rescoring": random_rescoring(0, 2, 2, 4), "classes": classes}, **context_facts(features))
    seen = Seen(np.ones(6, np.float32), np.empty(0, np.float32))
    scores = random_regions(3, 4, 2)
    wanted = Context(features, random_rescoring(0, 2, 2, 4)).apply(scores, seen, 80, 100)
    np.testing.assert_array_equal(Context.load(path).apply(scores, seen, 80, 100).scores, wanted.scores)
    other = tmp_path / "svm.safetensors"
    save_head(other, SvmHead(torch.zeros(2, 4), torch.zeros(2)))
    with pytest.raises(DataError, match="must be a rescoring by context, got another file"):
        Context.load(other)


def write_context(path: Path, own: int = 2, width: int = 4, **facts: Any) -> Path:
    """A rescoring of 2 classes by all scores, the best ones and what an image's features tell of classes."""
    maps = {"rescoring": random_rescoring(0, 2, own, width), "classes": random_rescoring(1, 2, 0, 6)}
    stated = context_facts(Features("scores", ("best", "classes"), True)) | facts
    save_context(path, {name: maps[name] for name in stated.pop("maps", maps)}, **stated)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"own": 3}, "context must be of 2 numbers of a region, got 3"),
        ({"region": "box"}, "context must be of 15 numbers of a region, got 2"),
        ({"maps": ["classes"]}, "context must hold the maps that its features need, got classes"),
        ({"maps": ["rescoring"]}, "context must hold the maps that its features need, got rescoring"),
        ({"image": ["best"]}, "context must hold the maps that its features need, got classes, rescoring"),
        ({"region": "image"}, "region "),
        ({"region": None}, "region "),
        ({"image": "best"}, "image "),
        ({"image": [3]}, "image"),
        ({"by_svm": "very"}, "by_svm "),
        ({"scores": 7}, "scores "),
        ({"classes": [7]}, "classes"),
    ],
)
def test_a_rescoring_that_does_not_fit_what_it_states_is_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write_context(tmp_path / "context.safetensors", **change)
    with pytest.raises((DataError, ConfigError)) as caught:
        Context.load(path)
    assert str(caught.value).startswith(message)
    assert str(path) in str(caught.value)


def test_a_rescoring_of_another_network_s_numbers_is_named(tmp_path: Path) -> None:
    path = write_context(tmp_path / "context.safetensors")
    Context.load(path).check(width=6, outputs=9, path=path)
    with pytest.raises(DataError, match=r"classes.image must have shape \(2, 5\), got \(2, 6\) \(.*context"):
        Context.load(path).check(width=5, outputs=9, path=path)
    write_context(path, width=3)
    with pytest.raises(DataError, match=r"must be of the 4 numbers that its network tells, got 3 \(.*context"):
        Context.load(path).check(width=6, outputs=9, path=path)


def test_a_file_of_parts_of_maps_is_no_rescoring(tmp_path: Path) -> None:
    path = tmp_path / "context.safetensors"
    write_tensors(path, {"rescoring.own": torch.zeros(2, 2)}, {"head": "context"})
    with pytest.raises(DataError, match=r"must be own, image, bias of each map, got others \(.*context"):
        Context.load(path)
    state = {"a.own": torch.zeros(2, 2), "a.image": torch.zeros(3, 1), "a.bias": torch.zeros(2)}
    write_tensors(path, state, {"head": "context"})
    with pytest.raises(
        DataError, match=r"weights of a must have shapes \(C, D\), \(C, K\), \(C,\), got .*context"
    ):
        Context.load(path)


class Positions:
    """Scores each region by where it is."""

    def score(self, images: Regions) -> Iterator[ClassScores]:
        """As an engine does, an image at a time."""
        for _, boxes in images:
            yield ClassScores(np.broadcast_to(boxes[:, None], (len(boxes), 2, 4)), boxes[:, :2] / np.float32(100))


def images() -> list[tuple[Image, Float32]]:
    random = np.random.default_rng(0)
    boxes = np.array([[5, 6, 20, 20], [30, 10, 50, 40]], np.float32)
    return [(random.integers(0, 256, (40, 60, 3), dtype=np.uint8), boxes[:count]) for count in (2, 0, 1)]


def test_images_are_seen_whole_and_told_apart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = RegionClassifier(make_backbone("paper_bn"), 5).eval()
    path = tmp_path / "network.safetensors"
    save_model(path, network, IMAGENET, region={"crop_size": 32, "padding": 3})
    whole = WholeImages(path, SETTINGS)
    region = whole.engine.region
    assert (region.crop_size, region.padding) == (32, 0)
    frames = [(image, np.array([[0, 0, 60, 40]], np.float32)) for image, _ in images()]
    wanted = list(RegionEngine(network, IMAGENET, region, SETTINGS).describe(frames))
    seen = list(whole.see(images()))
    for one, two in zip(seen, wanted, strict=True):
        np.testing.assert_allclose(one.features, two.features[0], atol=1e-5)
        np.testing.assert_allclose(one.probs, two.probs[0], atol=1e-5)
    features = Features("scores", ("global",), by_svm=True)
    context = Context(features, random_rescoring(0, 2, 2, 1024))
    found = list(ContextScorer(Positions(), whole, context).score(images()))
    for (_, boxes), scores, one in zip(images(), found, seen, strict=True):
        plain = next(Positions().score([(images()[0][0], boxes)]))
        np.testing.assert_allclose(scores.scores, context.apply(plain, one, 40, 60).scores, atol=1e-6)
