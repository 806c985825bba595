import numpy as np
import torch
from torch.nn import functional

from detector.records import Array
from detector.training.logistic import learn_regions, softmax_of

CLASSES = 3


def drawn(count: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Features (M, 6) of which the first three say the class, labels and images of regions."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES + 1, count).astype(np.int16)
    features = random.normal(0, 1, (count, 6)).astype(np.float32)
    features[labels > 0, labels[labels > 0] - 1] += 3
    return features, labels, np.arange(count) // 5


def test_the_softmax_tells_the_classes_of_other_regions() -> None:
    linear = learn_regions(*drawn(600), CLASSES).linear
    features, labels, _ = drawn(400, seed=1)
    state = softmax_of(linear)
    logits = functional.linear(torch.from_numpy(features), state["weight"], state["bias"])
    assert (logits.argmax(1).numpy() == labels).mean() > 0.85


def test_log_odds_are_those_of_the_softmax_against_background() -> None:
    features, labels, images = drawn(100)
    linear = learn_regions(features, labels, images, CLASSES).linear
    state = softmax_of(linear)
    rows = torch.from_numpy(features)
    logits = functional.linear(rows, state["weight"], state["bias"]).log_softmax(1)
    wanted = linear(rows, torch.empty(0))
    torch.testing.assert_close(logits[:, 1:] - logits[:, :1], wanted, atol=1e-4, rtol=1e-4)


def test_a_class_is_told_from_background_alone() -> None:
    features, labels, images = drawn(200)
    kept = labels != 2
    everything = learn_regions(features, labels, images, CLASSES)
    without = learn_regions(features[kept], labels[kept], images[kept], CLASSES)
    assert everything.learned.tolist() == [True, True, True]
    assert without.learned.tolist() == [True, False, True]
    assert not without.linear.own[1].any()
