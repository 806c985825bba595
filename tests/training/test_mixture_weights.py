import numpy as np
import pytest

from detector.errors import DataError
from detector.records import Array
from detector.training.mixture_weights import fit_weights


def random_probs(seed: int, models: int, rows: int = 200, classes: int = 4) -> tuple[Array, Array]:
    """Probabilities (models, rows, classes), the first models' the best, and labels (rows,)."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    logits = random.normal(size=(models, rows, classes))
    logits += np.eye(classes)[labels] * np.linspace(2, 0.5, models)[:, None, None]
    probs = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    return probs.astype(np.float32), labels


def log_loss(weights: Array, probs: Array, labels: Array) -> float:
    mixture = np.tensordot(weights, probs.astype(float), 1)
    return float(-np.log(mixture[np.arange(len(labels)), labels]).mean())


def test_two_models_that_are_each_right_half_of_the_time_share_evenly() -> None:
    probs = np.array([[[0.9, 0.1], [0.9, 0.1]], [[0.1, 0.9], [0.1, 0.9]]], np.float32)
    assert fit_weights(probs, np.array([0, 1])) == pytest.approx([0.5, 0.5])


def test_a_model_that_is_better_everywhere_gets_all() -> None:
    probs = np.array([[[0.4, 0.6]], [[0.8, 0.2]], [[0.7, 0.3]]], np.float32)
    assert fit_weights(probs, np.array([0]), 1e-6) == pytest.approx([0, 1, 0], abs=1e-5)


def test_one_model_gets_all() -> None:
    probs, labels = random_probs(0, 1)
    assert fit_weights(probs, labels).tolist() == [1]


@pytest.mark.parametrize("seed", range(3))
def test_no_other_weights_have_a_smaller_loss(seed: int) -> None:
    probs, labels = random_probs(seed, 4)
    weights = fit_weights(probs, labels, 1e-6)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == weights.max()
    least = log_loss(weights, probs, labels)
    others = np.random.default_rng(seed).dirichlet(np.full(4, 0.5), 300)
    near = np.random.default_rng(seed).dirichlet(weights * 1000 + 1e-3, 300)
    assert min(log_loss(w, probs, labels) for w in (*others, *near)) >= least - 1e-6


def test_a_model_listed_several_times_counts_as_once() -> None:
    probs, labels = random_probs(1, 2)
    once = fit_weights(probs, labels, 1e-8)
    thrice = fit_weights(probs[[0, 1, 1, 1]], labels, 1e-8)
    assert thrice[0] == pytest.approx(once[0], abs=1e-3)
    np.testing.assert_allclose(thrice[1:], thrice[1], rtol=1e-9)


def test_a_truth_that_no_model_thinks_possible_does_not_matter() -> None:
    probs, labels = random_probs(2, 2)
    probs[:, 0, labels[0]] = 0
    assert np.isfinite(fit_weights(probs, labels)).all()


def test_nothing_to_fit_is_an_error() -> None:
    message = r"^probs must be those of a model at least, of a region at least, got \(0, 5, 3\)$"
    with pytest.raises(DataError, match=message):
        fit_weights(np.zeros((0, 5, 3), np.float32), np.zeros(5, np.int64))
