import numpy as np
import pytest
import torch

from detector.inference.context import ContextFeatures, classic_context, log_odds, rescore, score_context
from detector.networks.rescoring import LinearRescoring, same_scores
from detector.records import Array


def random_regions(seed: int, count: int, classes: int) -> tuple[Array, Array]:
    """Scores (N, C) and boxes (N, C, 4) in an image of 80 x 100 pixels."""
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 40, (count, classes, 2))
    boxes = np.concatenate([corner, corner + random.uniform(1, 40, (count, classes, 2))], 2)
    return random.normal(size=(count, classes)).astype(np.float32), boxes.astype(np.float32)


def random_rescoring(seed: int, classes: int, own: int, image: int) -> LinearRescoring:
    torch.manual_seed(seed)
    return LinearRescoring(torch.randn(classes, own), torch.randn(classes, image), torch.randn(classes))


def test_log_odds_of_a_half_of_certainty_and_of_the_impossible() -> None:
    found = log_odds(np.array([[0.5, 0.8], [1, 0]], np.float32))
    np.testing.assert_allclose(found, [[0, np.log(4)], [13.8155, -13.8155]], atol=1e-4)


def test_the_classic_features_of_one_box() -> None:
    scores, boxes = np.array([[1.5, -2]], np.float32), np.array([[[10, 20, 50, 40], [0, 0, 100, 80]]], np.float32)
    features = classic_context(scores, boxes, height=80, width=100)
    x1, y1, x2, y2 = 0.1, 0.25, 0.5, 0.5
    products = [x1 * x1, x1 * y1, x1 * x2, x1 * y2, y1 * y1, y1 * x2, y1 * y2, x2 * x2, x2 * y2, y2 * y2]
    np.testing.assert_allclose(features.own[0, 0], [1.5, x1, y1, x2, y2, *products], rtol=1e-6)
    np.testing.assert_allclose(features.own[0, 1], [-2, 0, 0, 1, 1, *[0] * 7, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(features.image, 1 / (1 + np.exp([-3, 4])), rtol=1e-6)


def test_a_linear_map_of_the_classic_features_can_be_the_area() -> None:
    scores, boxes = random_regions(0, 6, 2)
    own = classic_context(scores, boxes, height=80, width=100).own
    sides = boxes[..., 2:] - boxes[..., :2]
    terms = [f"{a}{b}" for i, a in enumerate(["x1", "y1", "x2", "y2"]) for b in ["x1", "y1", "x2", "y2"][i:]]
    weights = np.zeros(15)
    for term, factor in {"x1y1": 1, "x1y2": -1, "y1x2": -1, "x2y2": 1}.items():
        weights[5 + terms.index(term)] = factor
    np.testing.assert_allclose(own @ weights, sides[..., 0] * sides[..., 1] / 8000, rtol=1e-4)


def test_the_best_score_of_each_class_is_shared_by_all_regions() -> None:
    scores, boxes = random_regions(1, 7, 3)
    image = classic_context(scores, boxes, 80, 100).image
    np.testing.assert_allclose(image, [1 / (1 + np.exp(-2 * max(scores[:, c]))) for c in range(3)], rtol=1e-5)


def test_an_image_without_regions_has_features_and_no_scores() -> None:
    features = classic_context(np.empty((0, 3), np.float32), np.empty((0, 3, 4), np.float32), 80, 100)
    assert features.own.shape == (0, 3, 15)
    assert features.image.tolist() == [0, 0, 0]
    assert rescore(random_rescoring(0, 3, 15, 3), features).shape == (0, 3)


def test_scores_stay_what_they_are_until_something_is_learned() -> None:
    scores, boxes = random_regions(2, 5, 3)
    image = np.array([0.7, 0.2, 0.1], np.float32)
    np.testing.assert_array_equal(
        rescore(same_scores([2, 0], 3, 3), score_context(scores, image)), scores[:, [2, 0]]
    )
    classic = classic_context(scores, boxes, 80, 100)
    np.testing.assert_array_equal(rescore(same_scores([0, 0, 0], 15, 3), classic), scores)


@pytest.mark.parametrize("seed", range(2))
def test_rescoring_is_the_linear_map_of_the_features_side_by_side(seed: int) -> None:
    scores, boxes = random_regions(seed, 5, 3)
    random = np.random.default_rng(seed)
    joined = score_context(scores, random.random(6).astype(np.float32))
    classic = classic_context(scores, boxes, 80, 100)
    for features, size in ((joined, 3), (classic, 15)):
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
