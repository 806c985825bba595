"""A training killed after any step ends with the table, the last loss and the weights of one that is not."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from detector.config import TrainingSettings
from detector.errors import DataError
from detector.runs.best import Best
from detector.runs.folder import RunFolder
from detector.runs.train_loop import MetricsLog
from detector.runs.training_result import run_trainer
from detector.training.checkpoint import load_checkpoint, save_checkpoint
from detector.training.loop import Trainer, parameter_groups
from detector.training.schedule import Schedule

STEPS = 7
SETTINGS = TrainingSettings(batch_size=4, learning_rate=0.1, checkpoint_every=2, log_every=3)


class Killed(Exception):
    pass


@dataclass(frozen=True)
class Numbers:
    step: int
    values: Tensor


class Board:
    """What a board would show."""

    def __init__(self) -> None:
        self.shown: dict[int, dict[str, float]] = {}

    def begin(self, step: int) -> None:
        self.shown = {number: row for number, row in self.shown.items() if number <= step}

    def add(self, step: int, numbers: dict[str, float]) -> None:
        self.shown.setdefault(step, {}).update(numbers)

    def close(self) -> None:
        pass


def objective(network: nn.Module, batch: Numbers) -> tuple[Tensor, dict[str, Tensor]]:
    loss = (network(batch.values) - batch.values.sum(1, keepdim=True)).square().mean()
    return loss, {"root": loss.sqrt()}


def batches(first: int, kill_before: int) -> Iterator[Numbers]:
    for step in range(first, STEPS):
        if step == kill_before:
            raise Killed
        yield Numbers(step, torch.randn(4, 3, generator=torch.Generator().manual_seed(step)))


def train(
    run: RunFolder,
    board: Board,
    kill_before: int = STEPS,
    inputs: dict[str, Any] | None = None,
    best: bool = False,
) -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    groups = parameter_groups([(network, 1.0)], 0.1, 0.0)
    schedule = Schedule("step", STEPS, STEPS, 0.1)
    trainer: Trainer[nn.Linear, Numbers] = Trainer(
        network, objective, SETTINGS, schedule, groups, 0, torch.device("cpu"), torch.float32
    )
    log = MetricsLog(run.path / "metrics.csv", "train", ("root",), "number", 4, board)  # type: ignore[arg-type]
    result = run.stage("train").result(1, **(inputs or {"data": 1}))

    def measure(judged: nn.Module) -> dict[str, float]:
        return {"loss": float(judged.weight.detach().abs().sum())}  # type: ignore[operator]

    def save_weights(path: Path, saved: nn.Module) -> None:
        path.unlink(missing_ok=True)
        save_file(saved.state_dict(), path)

    run_trainer(
        result,
        trainer,
        lambda at: batches(at.step, kill_before),
        log,
        run.path / "model" / "weights.safetensors",
        save_weights,
        Best("loss", 2, result.folder / "best.pt", run.log, measure) if best else None,
    )


def results(run: RunFolder) -> dict[str, Any]:
    """What a training leaves, without times."""
    manifest = json.loads((run.path / "stages/train/present/stage.json").read_text())
    manifest.pop("seconds")
    with (run.path / "metrics.csv").open() as file:
        rows = [
            {name: value for name, value in row.items() if "second" not in name} for row in csv.DictReader(file)
        ]
    return {
        "manifest": manifest,
        "rows": rows,
        "weights": (run.path / "model/weights.safetensors").read_bytes(),
    }


def without_rates(board: Board) -> dict[int, dict[str, float]]:
    return {
        step: {name: value for name, value in row.items() if "second" not in name}
        for step, row in board.shown.items()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Board]:
    run, board = RunFolder(tmp_path_factory.mktemp("steps") / "whole"), Board()
    train(run, board)
    return results(run), board


def test_the_rows_are_means_of_all_their_steps(whole: tuple[dict[str, Any], Board]) -> None:
    found, _ = whole
    assert [row["step"] for row in found["rows"]] == ["3", "6", "7"]
    assert found["manifest"]["last_loss"] == pytest.approx(float(found["rows"][-1]["loss"]), rel=1e-5)


@pytest.mark.parametrize("kills", [[step] for step in range(STEPS)] + [[3, 5], [5, 5, 6]])
def test_a_killed_training_writes_the_same_rows_and_record(
    whole: tuple[dict[str, Any], Board], tmp_path: Path, kills: list[int]
) -> None:
    run, board = RunFolder(tmp_path), Board()
    for step in kills:
        with pytest.raises(Killed):
            train(run, board, kill_before=step)
    train(run, board)
    assert results(run) == whole[0]
    assert without_rates(board) == without_rates(whole[1])


def test_a_stage_killed_between_its_last_step_and_its_manifest_has_the_same_record(
    whole: tuple[dict[str, Any], Board], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    train(run, Board())
    path = run.path / "stages/train/present/stage.json"
    path.write_text(path.read_text().replace('"done": true', '"done": false'))
    checkpoint = (run.path / "stages/train/present/last.pt").read_bytes()
    train(run, Board())
    assert results(run) == whole[0]
    assert (run.path / "stages/train/present/last.pt").read_bytes() == checkpoint


def test_a_table_cut_by_a_kill_is_whole_after_the_next(
    whole: tuple[dict[str, Any], Board], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(Killed):
        train(run, Board(), kill_before=3)
    with (run.path / "metrics.csv").open("ab") as file:
        file.write(b"3,0.\xe9")
    train(run, Board())
    assert results(run) == whole[0]


def test_a_checkpoint_of_an_older_version_is_gone_on_from(
    whole: tuple[dict[str, Any], Board], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(Killed):
        train(run, Board(), kill_before=4)
    path = run.path / "stages/train/present/last.pt"
    state = load_checkpoint(path)
    assert state is not None
    save_checkpoint(path, {name: value for name, value in state.items() if name not in ("log", "key")})
    train(run, Board())
    assert results(run)["weights"] == whole[0]["weights"]


def test_lost_weights_are_made_again_from_the_checkpoint(
    whole: tuple[dict[str, Any], Board], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    train(run, Board())
    path = run.path / "model/weights.safetensors"
    for damage in (path.unlink, lambda: path.write_bytes(path.read_bytes()[:-5])):
        damage()
        train(run, Board(), kill_before=0)  # no step is done again
        assert results(run) == whole[0]


def test_weights_of_another_training_in_the_place_of_a_result_s_are_told_and_made_again(
    whole: tuple[dict[str, Any], Board], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path)
    train(run, Board())
    path = run.path / "model/weights.safetensors"
    with path.open("r+b") as file:  # as cp does, which writes into the file that is there
        file.write(save(nn.Linear(3, 1).state_dict()))
    train(run, Board(), kill_before=0)
    assert results(run) == whole[0]
    kept = run.stage("train").folder.resolve() / path.name
    assert f"{kept} is another file than stage train made: it is made again\n" in capsys.readouterr().err
    train(run, Board(), kill_before=0)
    assert "another file" not in capsys.readouterr().err


def test_a_result_of_an_earlier_version_states_no_hashes_and_is_kept(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    train(run, Board())
    manifest = run.stage("train").folder / "stage.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "hashes": {}}))
    before = manifest.read_bytes()
    train(run, Board(), kill_before=0)
    assert manifest.read_bytes() == before


def text_in(path: Path) -> None:
    path.write_text("no checkpoint")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def list_in(path: Path) -> None:
    torch.save([1, 2], path)


def empty(path: Path) -> None:
    torch.save({}, path)


def of_another_training(path: Path) -> None:
    state = load_checkpoint(path)
    assert state is not None
    torch.save({**state, "key": "another"}, path)


def of_another_network(path: Path) -> None:
    state = load_checkpoint(path)
    assert state is not None
    torch.save({**state, "network": nn.Linear(5, 1).state_dict()}, path)


@pytest.mark.parametrize("damage", [text_in, cut, list_in, empty, of_another_training, of_another_network])
def test_a_damaged_or_foreign_checkpoint_is_named_with_the_remedy(
    whole: tuple[dict[str, Any], Board], tmp_path: Path, damage: Any
) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(Killed):
        train(run, Board(), kill_before=4)
    path = run.path / "stages/train/present/last.pt"
    damage(path)
    with pytest.raises(
        DataError, match=r"checkpoint must .*last\.pt.*; without this file the training begins anew"
    ) as e:
        train(run, Board())
    assert len(str(e.value).splitlines()) == 1
    path.unlink()
    train(run, Board())
    assert results(run) == whole[0]


def test_best_weights_outlive_kills_and_are_missed_where_they_are_gone(tmp_path: Path) -> None:
    whole, run = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    train(whole, Board(), best=True)
    for step in (3, 5):
        with pytest.raises(Killed):
            train(run, Board(), kill_before=step, best=True)
    kept = run.path / "stages/train/present/best.pt"
    content = kept.read_bytes()
    for damage in (kept.unlink, lambda: kept.write_bytes(content[:-100]), lambda: torch.save({"step": 1}, kept)):
        damage()
        with pytest.raises(DataError, match=r"best weights must be those that this training kept, got .*best\.pt"):
            train(run, Board(), best=True)
    kept.write_bytes(content)
    train(run, Board(), best=True)
    assert results(run) == results(whole)
