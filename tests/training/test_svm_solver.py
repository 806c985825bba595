import numpy as np
import pytest
from oracles_svm import linear_svm, svm_objective

from detector.config import SvmSettings
from detector.errors import DataError
from detector.records import Array
from detector.training import svm_solver as svm_module
from detector.training.svm_solver import solve_svm

EXACT = SvmSettings(tolerance=1e-5)


def problem(name: str, seed: int = 0) -> tuple[Array, Array]:
    """Features (400, 40) of mean norm 20, few of them positive, and the mask (400,) of those."""
    random = np.random.default_rng(seed)
    positive = np.arange(400) < 30
    features = random.normal(size=(400, 40))
    if name == "clustered":  # "random" rows cannot be told apart: the best weights are zero
        features[positive] += 1.5 * random.normal(size=40)
    if name == "rectified":  # as a network's features: not centred, many zeros
        features = np.maximum(features + 0.5 * random.normal(size=40) * positive[:, None], 0)
    features *= 20 / np.linalg.norm(features, axis=1).mean()
    return features.astype(np.float32), positive


def test_two_points_that_c_lets_reach_the_margin() -> None:
    settings = SvmSettings(c=1, positive_weight=1, bias=1, tolerance=1e-6)
    svm = solve_svm(np.array([[1], [-1]], np.float32), np.array([True, False]), settings)
    assert svm.weights == pytest.approx([1], abs=1e-3)
    assert svm.bias == pytest.approx(0, abs=1e-3)
    assert svm.alphas == pytest.approx([0.5, 0.5], abs=1e-3)
    assert svm.objective == pytest.approx(0.5, rel=1e-5)


def test_two_points_of_different_weight_that_stay_inside_the_margin() -> None:
    settings = SvmSettings(c=0.1, positive_weight=2, bias=1)
    svm = solve_svm(np.array([[1], [-1]], np.float32), np.array([True, False]), settings)
    assert svm.alphas == pytest.approx([0.2, 0.1])  # both at their bounds
    assert svm.weights == pytest.approx([0.3])
    assert svm.bias == pytest.approx(0.1)
    assert svm.scores == pytest.approx([0.4, -0.2])
    assert svm.objective == pytest.approx(0.05 + 0.2 * 0.6 + 0.1 * 0.8)
    assert svm.gap == pytest.approx(0, abs=1e-7)


def test_the_constant_feature_multiplies_the_bias() -> None:
    settings = SvmSettings(c=1e-3, positive_weight=1, bias=10)
    svm = solve_svm(np.zeros((2, 3), np.float32), np.array([True, True]), settings)
    assert svm.weights.tolist() == [0, 0, 0]
    assert svm.bias == pytest.approx(0.2)  # (0.001 + 0.001) * 10 * 10
    assert svm.scores == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("c", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("name", ["random", "clustered", "rectified"])
def test_the_answer_is_liblinears(name: str, c: float) -> None:
    pytest.importorskip("sklearn")
    settings = SvmSettings(c=c, tolerance=1e-5)
    features, positive = problem(name)
    svm = solve_svm(features, positive, settings)
    weights, bias = linear_svm(features, positive, settings)
    wanted = svm_objective(weights, bias, features, positive, settings)
    assert svm.objective == pytest.approx(wanted, rel=1e-4)
    np.testing.assert_allclose(svm.weights, weights, atol=1e-5 + 0.02 * np.abs(weights).max())
    assert svm.bias == pytest.approx(bias, abs=0.01)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-5])
def test_objective_and_gap_are_what_they_say(tolerance: float) -> None:
    features, positive = problem("rectified")
    settings = SvmSettings(tolerance=tolerance)
    svm = solve_svm(features, positive, settings)
    stated = svm_objective(svm.weights, svm.bias, features, positive, settings)
    best = solve_svm(features, positive, SvmSettings(tolerance=1e-6)).objective
    assert svm.objective == pytest.approx(stated, rel=1e-5)
    assert svm.gap <= tolerance * svm.objective
    assert svm.objective - svm.gap <= best * (1 + 1e-5) <= svm.objective * (1 + 2e-5)
    np.testing.assert_allclose(svm.scores, features @ svm.weights + svm.bias, atol=1e-5)


def test_a_gap_that_could_not_be_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    features, positive = problem("random")
    best = solve_svm(features, positive, EXACT)
    monkeypatch.setattr(svm_module, "ROUNDS", 2)
    stopped = solve_svm(features, positive, EXACT)
    assert stopped.gap > 0.01 * stopped.objective
    assert stopped.objective - stopped.gap < best.objective < stopped.objective
    np.testing.assert_allclose(stopped.scores, features @ stopped.weights + stopped.bias, atol=1e-5)


def test_a_row_given_twice_counts_twice() -> None:
    features, positive = problem("clustered")
    twice = solve_svm(np.repeat(features, 2, axis=0), np.repeat(positive, 2), EXACT)
    once = solve_svm(features, positive, SvmSettings(c=2e-3, tolerance=1e-5))
    assert twice.objective == pytest.approx(once.objective, rel=1e-4)
    np.testing.assert_allclose(twice.weights, once.weights, atol=2e-3)


def test_starting_from_the_answer_gives_the_answer() -> None:
    features, positive = problem("rectified")
    answer = solve_svm(features, positive, EXACT)
    again = solve_svm(features, positive, EXACT, answer.alphas)
    np.testing.assert_array_equal(again.alphas, answer.alphas)
    np.testing.assert_array_equal(again.weights, answer.weights)


def test_any_start_leads_to_the_same_optimum() -> None:
    features, positive = problem("rectified")
    half = solve_svm(features[::2], positive[::2], EXACT)
    start = np.zeros(len(features), np.float32)
    start[::2] = half.alphas
    cold, warm = (solve_svm(features, positive, EXACT, alphas) for alphas in (None, start))
    wild = solve_svm(features, positive, EXACT, np.linspace(-1, 1, len(features), dtype=np.float32))
    assert warm.objective == pytest.approx(cold.objective, rel=2e-5)
    assert wild.objective == pytest.approx(cold.objective, rel=2e-5)


def test_equal_problems_get_equal_answers() -> None:
    features, positive = problem("random")
    one, two = (solve_svm(features.copy(), positive, SvmSettings()) for _ in range(2))
    np.testing.assert_array_equal(one.weights, two.weights)
    np.testing.assert_array_equal(one.alphas, two.alphas)


def test_no_rows_give_an_svm_of_zeros() -> None:
    svm = solve_svm(np.empty((0, 3), np.float32), np.empty(0, np.bool_), SvmSettings())
    assert svm.weights.tolist() == [0, 0, 0]
    assert (svm.bias, svm.objective, svm.gap) == (0, 0, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_an_error(value: float) -> None:
    features, positive = problem("random")
    features[100, 7] = value
    with pytest.raises(DataError, match="features of an SVM must be finite, got NaN or infinity"):
        solve_svm(features, positive, SvmSettings())
