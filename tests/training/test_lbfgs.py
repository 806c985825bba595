import torch
from torch import Tensor

from detector.training.lbfgs import Function, minimise


def quadratics(curvatures: Tensor, minima: Tensor) -> Function:
    """Columns of x' A x / 2 with A (C, P, P) about their minima (P, C)."""

    def function(points: Tensor) -> tuple[Tensor, Tensor]:
        away = points - minima
        gradients = torch.einsum("cpq,qc->pc", curvatures, away)
        return (away * gradients).sum(0) / 2, gradients

    return function


def random_quadratics(count: int, size: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    roots = torch.randn(count, size, size, dtype=torch.float64)
    curvatures = roots @ roots.transpose(1, 2) + torch.eye(size)
    return curvatures * torch.logspace(-2, 2, count)[:, None, None], torch.randn(size, count, dtype=torch.float64)


def test_the_minima_of_columns_of_very_different_curvature() -> None:
    curvatures, minima = random_quadratics(5, 8)
    points, slopes = minimise(quadratics(curvatures, minima), torch.zeros_like(minima), 1e-9)
    assert slopes.max() <= 1e-9
    torch.testing.assert_close(points, minima, rtol=0, atol=1e-3)


def test_columns_do_not_know_of_each_other() -> None:
    curvatures, minima = random_quadratics(4, 6)
    together, _ = minimise(quadratics(curvatures, minima), torch.zeros_like(minima), 1e-7, calls=15)
    for c in range(4):
        one = slice(c, c + 1)
        alone, _ = minimise(
            quadratics(curvatures[one], minima[:, one]), torch.zeros(6, 1).double(), 1e-7, calls=15
        )
        torch.testing.assert_close(together[:, one], alone, rtol=1e-9, atol=1e-12)


def test_a_column_at_its_minimum_stays_there() -> None:
    curvatures, minima = random_quadratics(3, 4)
    start = torch.zeros_like(minima)
    start[:, 1] = minima[:, 1]
    points, slopes = minimise(quadratics(curvatures, minima), start, 1e-6)
    assert torch.equal(points[:, 1], minima[:, 1])
    assert slopes[1] == 0


def test_rounding_ends_the_search() -> None:
    curvatures, minima = random_quadratics(3, 4)
    calls = 0

    def counted(points: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal calls
        calls += 1
        return quadratics(curvatures, minima)(points)

    _, slopes = minimise(counted, torch.zeros_like(minima), 0.0)
    assert slopes.max() < 1e-6
    assert calls < 1000


def test_no_columns_are_no_work() -> None:
    points, slopes = minimise(lambda points: (points.sum(0), points), torch.zeros(3, 0), 1e-6)
    assert points.shape == (3, 0)
    assert slopes.shape == (0,)
