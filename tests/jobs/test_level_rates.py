from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from detector.jobs import level_rates
from detector.jobs.level_rates import STEPS
from detector.runs.processes import alone

STEP = 0.25  # seconds that a device is at a step


class SlowDevice:
    """It is given steps at once, does one after another, and is waited for where a step's numbers are read."""

    def __init__(self) -> None:
        self.now = self.busy_until = 0.0

    def steps(self, *given: object) -> Iterator[Any]:
        for _ in range(1 + STEPS):
            self.busy_until += STEP
            yield SimpleNamespace(read=lambda end=self.busy_until: self.wait(end))

    def wait(self, end: float) -> None:
        self.now = max(self.now, end)


def test_a_step_takes_as_long_as_the_device_is_at_it_not_as_its_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SlowDevice()
    monkeypatch.setattr(level_rates, "_steps", device.steps)
    monkeypatch.setattr(level_rates, "make_finetuner", lambda *_: (None, None))
    monkeypatch.setattr(level_rates, "batch_maker", lambda *_: None)
    monkeypatch.setattr(level_rates, "time", SimpleNamespace(perf_counter=lambda: device.now))
    dataset = SimpleNamespace(classes=SimpleNamespace(names=("cat",)))
    sample: Any = SimpleNamespace(
        labelled=SimpleNamespace(regions=SimpleNamespace(split=SimpleNamespace(dataset=dataset)))
    )
    config: Any = SimpleNamespace(
        region=SimpleNamespace(mode="shared"), finetune=SimpleNamespace(positives=4), joint_boxes=None
    )
    task: Any = SimpleNamespace(seed=0)
    assert level_rates._training(config, task, sample, alone()) == STEP
