"""Scalars for TensorBoard, read back by TensorBoard."""

import csv
from pathlib import Path

import pytest

from detector.config import ClassificationConfig, Config, LogSettings, MultiBoxConfig, dump_config, load_config
from detector.errors import ConfigError
from detector.jobs.train_classifier import run_classification
from detector.jobs.train_detector import run_training
from detector.jobs.train_multibox import run_multibox
from detector.runs import board as board_module
from detector.runs.board import Board, check_tensorboard, make_board
from detector.runs.folder import RunFolder
from detector.runs.train_loop import MetricsLog
from detector.synthetic.classification_set import make_crops
from detector.training.loop import StepResult

Scalars = dict[str, list[tuple[int, float]]]


def scalars(folder: Path) -> Scalars:
    """(step, number) of each name, as TensorBoard shows them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={accumulator.SCALARS: 0}).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def same_numbers(shown: Scalars, table: list[dict[str, str]]) -> bool:
    """Whether the board shows every number of the table at its step."""
    steps = [int(row["step"]) for row in table]
    return all(
        [step for step, _ in shown[name]] == steps
        and [value for _, value in shown[name]] == pytest.approx([float(row[name]) for row in table], rel=1e-4)
        for name in table[0]
        if name != "step"
    )


def log_steps(folder: Path, first: int, last: int) -> None:
    """A training from step `first` to `last` that logs every second step."""
    log = MetricsLog(
        folder / "metrics.csv", "train", ("top1",), "image", 8, Board(folder / "tensorboard" / "train")
    )
    log.begin(first)
    for step in range(first, last):
        log.add(StepResult(step, step + 0.5, 0.1, {"top1": step / 10}))
        if (step + 1) % 2 == 0:
            log.write(step + 1)
    log.close()


def test_the_board_shows_the_rows_of_the_table(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    log_steps(tmp_path, 0, 6)
    shown = scalars(tmp_path / "tensorboard" / "train")
    assert shown.keys() == {"loss", "top1", "learning_rate", "images_per_second"}
    assert shown["loss"] == [(2, 1.0), (4, 3.0), (6, 5.0)]
    assert same_numbers(shown, rows(tmp_path / "metrics.csv"))


@pytest.mark.parametrize("resumed", [0, 2, 4])
def test_a_resumed_training_shows_each_step_once(tmp_path: Path, resumed: int) -> None:
    pytest.importorskip("tensorboard")
    log_steps(tmp_path, 0, 6)
    log_steps(tmp_path, resumed, 8)
    shown = scalars(tmp_path / "tensorboard" / "train")
    assert [step for step, _ in shown["loss"]] == [2, 4, 6, 8]
    assert same_numbers(shown, rows(tmp_path / "metrics.csv"))


def test_numbers_of_held_out_data_stand_beside(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    log = MetricsLog(tmp_path / "metrics.csv", "train", (), "image", 8, Board(tmp_path))
    log.begin(0)
    log.add_judged(3, {"accuracy": 0.5})
    log.close()
    assert scalars(tmp_path) == {"held_out_accuracy": [(3, 0.5)]}


def test_a_detector_s_training_is_shown_with_its_judgements(tiny_config: Config, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    words = ["log.tensorboard=true", "evaluate.pictures=0", "pretrain.steps=2", "pretrain.log_every=1"]
    words += [f"finetune.{word}" for word in ("best=loss", "validation=[val]", "validation_regions=16")]
    words += [f"finetune.{word}" for word in ("steps=3", "log_every=1", "validate_every=2", "checkpoint_every=9")]
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(tiny_config))
    config = load_config(Config, path, words)
    run_training(RunFolder(tmp_path / "run"), config)
    shown = scalars(tmp_path / "run" / "tensorboard" / "finetune")
    assert same_numbers(shown, rows(tmp_path / "run" / "metrics.csv"))
    assert [step for step, _ in shown["held_out_loss"]] == [2, 3]
    assert same_numbers(scalars(tmp_path / "run/tensorboard/pretrain"), rows(tmp_path / "run/pretrain.csv"))


def test_a_classifier_s_training_is_shown(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    make_crops(tmp_path / "crops", 8, 2, 0, val=2)
    path = tmp_path / "config.yaml"
    path.write_text(
        f"data: {{root: {tmp_path / 'crops'}}}\ncrop: {{size: 32}}\nnetwork: {{variant: tiny}}\n"
        "train: {epochs: 1, batch_size: 4, auxiliary: 0, log_every: 1}\nlog: {tensorboard: true}\n"
        "engine: {device: cpu, backend: torch, precision: fp32, workers: 0}\n"
    )
    run_classification(RunFolder(tmp_path / "run"), load_config(ClassificationConfig, path))
    assert same_numbers(scalars(tmp_path / "run/tensorboard/train"), rows(tmp_path / "run/metrics.csv"))


def test_multibox_s_training_is_shown(tiny_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    path = tmp_path / "config.yaml"
    path.write_text(
        f"data: {{root: {tiny_data}, classes: synsets.csv}}\nnetwork: {{variant: tiny}}\n"
        "multibox: {form: learned, priors: 8}\ntrain: {steps: 2, batch_size: 2, log_every: 1, warmup: 0}\n"
        "propose: {scales: [1]}\nlog: {tensorboard: true}\n"
        "engine: {device: cpu, backend: torch, precision: fp32, workers: 0}\n"
    )
    run_multibox(RunFolder(tmp_path / "run"), load_config(MultiBoxConfig, path))
    assert same_numbers(scalars(tmp_path / "run/tensorboard/train"), rows(tmp_path / "run/metrics.csv"))


def test_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    assert make_board(LogSettings(), tmp_path, "train") is None
    made = make_board(LogSettings(tensorboard=True), tmp_path, "train")
    assert made is not None
    assert made.folder == tmp_path / "tensorboard" / "train"
    assert not any(tmp_path.iterdir())  # until it begins


def test_a_missing_package_is_told_with_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr(board_module, "find_spec", nothing)
    check_tensorboard(LogSettings())
    with pytest.raises(ConfigError, match=r"repair: pip install 'googlenet-detector\[tensorboard\]'$") as caught:
        check_tensorboard(LogSettings(tensorboard=True))
    assert "\n" not in str(caught.value)


def test_a_run_without_the_package_ends_before_it_begins(
    tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_module, "find_spec", lambda name: None)
    config = tiny_config.model_copy(update={"log": LogSettings(tensorboard=True)})
    with pytest.raises(ConfigError, match=r"^log\.tensorboard must be false"):
        run_training(RunFolder(tmp_path / "run"), config)
    assert not (tmp_path / "run").exists()
