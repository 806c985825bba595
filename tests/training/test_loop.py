import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch

from detector.config import FinetuneSettings
from detector.errors import DataError
from detector.networks.region_classifier import RegionClassifier
from detector.training.batch import RegionBatch
from detector.training.checkpoint import load_checkpoint, save_checkpoint
from detector.training.loop import Trainer, parameter_groups, schedule_factor

CPU = torch.device("cpu")
SETTINGS = FinetuneSettings(
    steps=6, batch_size=8, positives=4, learning_rate=0.02, head_factor=2, average_decay=0.5, schedule="cosine"
)


def batches(first: int, last: int) -> Iterator[RegionBatch]:
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        labels = torch.tensor([1, 2, 1, 2, 0, 0, 0, 0])
        crops = torch.randn(8, 3, 32, 32, generator=generator) * 0.1 + labels[:, None, None, None]
        yield RegionBatch(step, crops, labels)


def make_trainer(settings: FinetuneSettings = SETTINGS) -> Trainer:
    torch.manual_seed(0)
    return Trainer(RegionClassifier("paper_bn", 3), settings, seed=0, device=CPU, precision=torch.float32)


def test_training_lowers_the_loss() -> None:
    losses = [result.loss for result in make_trainer().train(batches(0, 6))]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_training_ends_with_the_very_same_weights(
    tmp_path: Path, optimizer: Literal["sgd", "adamw"]
) -> None:
    settings = SETTINGS.model_copy(update={"optimizer": optimizer})
    whole = make_trainer(settings)
    list(whole.train(batches(0, 6)))
    first = make_trainer(settings)
    list(first.train(batches(0, 3)))
    save_checkpoint(tmp_path / "last.pt", first.state())
    second = make_trainer(settings)
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None
    second.load(state)
    torch.rand(17)  # the global generator must not matter
    list(second.train(batches(3, 6)))
    for one, two in ((whole.network, second.network), (whole.tested_network(), second.tested_network())):
        for key, value in one.state_dict().items():
            assert torch.equal(value, two.state_dict()[key]), key


def test_the_average_lags_behind_the_weights() -> None:
    trainer = make_trainer()
    start = copy.deepcopy(trainer.network.classifier.weight.detach())
    list(trainer.train(batches(0, 3)))
    moved = (trainer.network.classifier.weight - start).norm()
    lagging = (trainer.tested_network().classifier.weight - start).norm()
    assert 0 < lagging < moved


def test_without_averaging_the_network_itself_is_tested() -> None:
    trainer = make_trainer(FinetuneSettings(steps=1))
    assert trainer.tested_network() is trainer.network


def test_a_loss_that_is_not_finite_stops_with_the_step() -> None:
    batch = next(batches(0, 1))
    broken = RegionBatch(0, batch.crops * float("nan"), batch.labels)
    with pytest.raises(DataError, match=r"loss must be finite, got nan at step 0"):
        list(make_trainer().train([broken]))


def test_the_new_classifier_learns_faster_and_biases_do_not_decay() -> None:
    groups = parameter_groups(RegionClassifier("paper", 3), FinetuneSettings(learning_rate=0.1, head_factor=10))
    assert [(g["base_rate"], g["weight_decay"]) for g in groups] == [(0.1, 5e-4), (0.1, 0), (1, 5e-4), (1, 0)]
    assert sum(len(g["params"]) for g in groups) == 116


def test_the_step_schedule_divides_by_ten() -> None:
    settings = FinetuneSettings(steps=50_000, step_size=20_000)
    factors = [schedule_factor(settings, step) for step in (0, 19_999, 20_000, 40_000)]
    assert factors == pytest.approx([1, 1, 0.1, 0.01])


def test_the_cosine_schedule_warms_up_and_ends_at_nothing() -> None:
    settings = FinetuneSettings(steps=100, schedule="cosine", warmup=10)
    assert schedule_factor(settings, 0) == pytest.approx(0.1)
    assert schedule_factor(settings, 50) == pytest.approx(0.5)
    assert schedule_factor(settings, 99) < 0.001


def test_a_broken_checkpoint_is_named_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "last.pt") is None
    (tmp_path / "last.pt").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"last\.pt"):
        load_checkpoint(tmp_path / "last.pt")
