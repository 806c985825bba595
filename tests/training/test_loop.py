import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from full_disk import FULL, no_file_above
from random_networks import googlenet_of

from detector.config import FinetuneSettings
from detector.errors import DataError
from detector.networks.backbones import make_backbone
from detector.networks.region_classifier import RegionClassifier
from detector.training import loop
from detector.training.batch import RegionBatch
from detector.training.checkpoint import load_checkpoint, save_checkpoint
from detector.training.loop import DivergedError, Trainer, parameter_groups
from detector.training.objectives import RegionObjective
from detector.training.schedule import Schedule

CPU = torch.device("cpu")
SETTINGS = FinetuneSettings(
    steps=6,
    batch_size=8,
    positives=4,
    learning_rate=0.02,
    schedule="cosine",
    average="ema",
    average_decay=0.5,
    average_start=0.5,
)
Averaging = Literal["none", "ema", "polyak"]
State = dict[str, Any]


def batches(first: int, last: int) -> Iterator[RegionBatch]:
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        labels = torch.tensor([1, 2, 1, 2, 0, 0, 0, 0])
        crops = torch.randn(8, 3, 32, 32, generator=generator) * 0.1 + labels[:, None, None, None]
        yield RegionBatch(step, crops, labels)


def make_trainer(settings: FinetuneSettings = SETTINGS) -> Trainer[RegionClassifier, RegionBatch]:
    torch.manual_seed(0)
    network = RegionClassifier(make_backbone("tiny"), 3)
    schedule = Schedule(settings.schedule, settings.steps, settings.step_size, 0.1)
    groups = parameter_groups(
        [(network.backbone, 1.0), (network.classifier, 2.0)], settings.learning_rate, settings.weight_decay
    )
    return Trainer(network, RegionObjective(), settings, schedule, groups, 0, CPU, torch.float32)


def test_training_lowers_the_loss() -> None:
    losses = [done.read().loss for done in make_trainer().train(batches(0, 6))]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(("optimizer", "average"), [("sgd", "ema"), ("adamw", "polyak")])
def test_a_resumed_training_ends_with_the_very_same_weights(
    tmp_path: Path, optimizer: Literal["sgd", "adamw"], average: Averaging
) -> None:
    settings = SETTINGS.model_copy(update={"optimizer": optimizer, "average": average})
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


@pytest.mark.parametrize(
    ("seed", "drawn_by"),
    [
        (3, (3 * 1_000_003 + 2) * 1_009),
        (18_282_000_000, (18_282_000_000 * 1_000_003 + 2) * 1_009),
        (2**63 - 1, ((2**63 - 1) * 1_000_003 + 2) * 1_009 % 2**64),
    ],
)
def test_any_seed_draws_a_step_of_its_own(seed: int, drawn_by: int) -> None:
    trainer = make_trainer()
    trainer.seed = seed
    list(trainer.train(batches(2, 3)))
    assert torch.initial_seed() == drawn_by


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


def test_polyak_s_average_is_the_plain_mean_of_the_last_steps() -> None:
    trainer = make_trainer(SETTINGS.model_copy(update={"average": "polyak"}))
    seen = []
    for result in trainer.train(batches(0, 6)):
        if result.step < 3:
            assert trainer.tested_network() is trainer.network
        else:
            seen.append(copy.deepcopy(trainer.network.state_dict()))
    tested = trainer.tested_network().state_dict()
    for key in ("classifier.weight", "backbone.conv1.norm.running_mean"):
        mean = torch.stack([state[key] for state in seen]).mean(0)
        torch.testing.assert_close(tested[key], mean, rtol=1e-5, atol=1e-7)


def test_frozen_parameters_are_not_given_to_the_optimiser() -> None:
    network = RegionClassifier(make_backbone("paper"), 3)
    googlenet_of(network).freeze(5)
    groups = parameter_groups([(network.backbone, 1), (network.classifier, 1)], 0.1, 5e-4)
    assert sum(len(g["params"]) for g in groups) == 2


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_first_step_that_a_scaler_skips_leaves_no_momentum(
    is_resumed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the optimiser of GPUs, which runs on a CPU, too; NaN stands for what unwritten memory holds."""
    monkeypatch.setattr(torch, "empty_like", lambda tensor: torch.full_like(tensor, float("nan")))
    weight = torch.nn.Parameter(torch.zeros(3))
    groups = [{"params": [weight], "weight_decay": 0.0, "base_rate": 1.0}]
    optimizer = loop._make_optimizer(groups, SETTINGS, torch.device("cuda"))
    if is_resumed:  # from before the first step
        loop._load_optimizer(optimizer, torch.optim.SGD([weight], lr=1.0).state_dict())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    for gradient in (float("inf"), 8.0):
        scaler.scale(torch.zeros(()))
        weight.grad = torch.full_like(weight, gradient)
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 1  # halved by the first
    assert weight.tolist() == pytest.approx([-SETTINGS.learning_rate * 8] * 3)


class Late:
    """A device whose numbers are read after two further steps; `read` counts those that were."""

    ahead = 2

    def __init__(self) -> None:
        self.read: list[int] = []
        self.fetched = 0

    def send(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def fetch(self, tensors: Mapping[str, torch.Tensor]) -> "LateArrival":
        self.fetched += 1
        return LateArrival(self, self.fetched - 1, dict(tensors))


@dataclass
class LateArrival:
    way: Late
    number: int
    tensors: dict[str, torch.Tensor]

    def wait(self) -> dict[str, torch.Tensor]:
        self.way.read.append(self.number)
        return self.tensors


def test_numbers_are_read_steps_later_and_all_are_in_the_end() -> None:
    late, at_once = make_trainer(), make_trainer()
    late.transfers = way = Late()
    seen = []
    done = []
    for each in late.train(batches(0, 6)):
        seen.append(list(way.read))
        done.append(each)
    assert seen == [[], [], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert way.read == list(range(6))
    assert [each.read() for each in done] == [each.read() for each in at_once.train(batches(0, 6))]


def broken_at(step: int) -> Iterator[RegionBatch]:
    for batch in batches(0, 6):
        yield replace(batch, crops=batch.crops * float("nan")) if batch.step == step else batch


@pytest.mark.parametrize("step", [1, 5])
def test_a_loss_that_is_read_late_stops_all_the_same_and_names_its_step(step: int) -> None:
    trainer = make_trainer()
    trainer.transfers = Late()
    with pytest.raises(DivergedError, match=rf"^loss must be finite, got nan at step {step} \(learning_rate is"):
        list(trainer.train(broken_at(step)))


def test_no_state_is_given_of_steps_whose_loss_was_not_finite() -> None:
    trainer = make_trainer()
    trainer.transfers = Late()
    with pytest.raises(DivergedError, match=r"^loss must be finite, got nan at step 1 "):
        for done in trainer.train(broken_at(1)):
            if done.step == 1:
                trainer.state()


def test_a_loss_that_is_not_finite_stops_with_the_step() -> None:
    batch = next(batches(0, 1))
    broken = RegionBatch(0, batch.crops * float("nan"), batch.labels)
    with pytest.raises(DataError, match=r"loss must be finite, got nan at step 0 \(of the data and the "):
        list(make_trainer().train([broken]))


@pytest.mark.parametrize("key", ["classifier.bias", "backbone.conv1.norm.running_var"])
def test_weights_that_are_not_finite_are_told_where_they_would_be_saved(key: str) -> None:
    trainer = make_trainer()
    trainer.step = 2
    trainer.state()
    trainer.network.state_dict()[key][0] = float("inf")
    with pytest.raises(DivergedError) as caught:
        trainer.state()
    assert str(caught.value) == (
        f"weights must stay finite, got NaN or infinity in {key} after step 2"
        " (learning_rate is 0.02, weight_decay 0.0005: lower ones may keep them)"
    )


def test_averages_that_are_not_finite_are_told_too() -> None:
    trainer = make_trainer()
    list(trainer.train(batches(0, 1)))
    trainer.tested_network().classifier.weight.data[0, 0] = float("nan")
    with pytest.raises(DivergedError, match=r"in classifier\.weight after step 1 "):
        trainer.check()


def test_the_new_classifier_learns_faster_and_biases_do_not_decay() -> None:
    network = RegionClassifier(make_backbone("paper"), 3)
    groups = parameter_groups([(network.backbone, 1), (network.classifier, 10)], 0.1, 5e-4)
    assert [(g["base_rate"], g["weight_decay"]) for g in groups] == [(0.1, 5e-4), (0.1, 0), (1, 5e-4), (1, 0)]
    assert sum(len(g["params"]) for g in groups) == 116
    assert all((parameter.ndim > 1) == (g["weight_decay"] > 0) for g in groups for parameter in g["params"])


def test_biases_may_learn_faster_than_weights_and_than_batch_norm() -> None:
    rates = {}
    for variant in ("paper", "paper_bn"):
        network = RegionClassifier(make_backbone(variant), 3)
        groups = parameter_groups([(network.backbone, 1), (network.classifier, 10)], 0.1, 5e-4, bias_factor=2)
        rates[variant] = [g["base_rate"] for g in groups]
    assert rates == {"paper": [0.1, 0.2, 1, 2], "paper_bn": [0.1, 0.1, 1, 2]}


@pytest.fixture(scope="module")
def begun() -> State:
    """The state of a training after two of its steps."""
    trainer = make_trainer()
    list(trainer.train(batches(0, 2)))
    return trainer.state()


def with_changed(state: State, path: str, value: object) -> State:
    """`state` with another value at the dotted `path`."""
    changed = copy.deepcopy(state)
    *parents, leaf = path.split(".")
    place: Any = changed
    for name in parents:
        place = place[int(name) if name.isdecimal() else name]
    if value is None:
        del place[leaf]
    else:
        place[int(leaf) if leaf.isdecimal() else leaf] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("step", None),
        ("step", "3"),
        ("step", True),
        ("step", -1),
        ("step", 7),
        ("network", None),
        ("network", {"a": torch.zeros(1)}),
        ("network", [1]),
        ("optimizer", {}),
        ("optimizer.param_groups", []),
        ("optimizer.state.0", {"momentum_buffer": torch.zeros(3)}),
        ("average", {}),
        ("average", 3),
    ],
)
def test_a_state_of_another_training_is_not_gone_on_from(begun: State, path: str, value: object) -> None:
    state = with_changed(begun, path, value)
    with pytest.raises((KeyError, TypeError, ValueError, RuntimeError, AttributeError)):
        make_trainer().load(state)


def test_rates_and_decays_are_those_of_the_settings_not_of_the_state(begun: State) -> None:
    state = with_changed(begun, "optimizer.param_groups.0.base_rate", 1e9)
    again = make_trainer()
    again.load(state)
    assert [group["base_rate"] for group in again.optimizer.param_groups] == [0.02, 0.02, 0.04, 0.04]


def test_a_checkpoint_s_bytes_depend_on_the_state_alone(tmp_path: Path) -> None:
    state = make_trainer().state()
    for name in ("one.pt", "two.pt"):
        save_checkpoint(tmp_path / name, state)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})
    with no_file_above(100_000), pytest.raises(DataError) as caught:
        save_checkpoint(path, {"weight": torch.zeros(100_000)})
    assert str(caught.value) == f"{path} must be writable ({FULL})"
    assert load_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_broken_checkpoint_is_named_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "last.pt") is None
    (tmp_path / "last.pt").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"last\.pt"):
        load_checkpoint(tmp_path / "last.pt")
