import pytest

from detector.training.schedule import Schedule


def test_the_step_schedule_falls_at_intervals() -> None:
    schedule = Schedule("step", 50_000, 20_000, 0.1)
    assert [schedule.factor(step) for step in (0, 19_999, 20_000, 40_000)] == pytest.approx([1, 1, 0.1, 0.01])


def test_the_cosine_schedule_warms_up_and_ends_at_nothing() -> None:
    schedule = Schedule("cosine", 100, 1, 1, warmup=10)
    assert schedule.factor(0) == pytest.approx(0.1)
    assert schedule.factor(50) == pytest.approx(0.5)
    assert schedule.factor(99) < 0.001
