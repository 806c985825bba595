import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import finish, kill_once_written

from detector import choices
from detector.config import ClassificationConfig, EngineSettings, load_config
from detector.data.classes import read_classes
from detector.errors import ConfigError, DataError
from detector.jobs.test_classifier import ClassificationTest, open_images, run_classification_test
from detector.jobs.train_classifier import make_classifier_trainer, run_classification
from detector.networks.backbones import tiny
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.processes import Group
from detector.synthetic.classification_set import make_crops

TINY = """
data: {{root: {root}, train: train, test: val}}
crop: {{size: 32, min_area: 0.5, photometric: 0.2}}
network: {{variant: paper_bn}}
train: {{epochs: 2, batch_size: 8, learning_rate: 0.02, average_start: 0.3, checkpoint_every: 3, log_every: 2}}
test: {{crops: [1, 10]}}
engine: {{device: cpu, backend: torch, precision: fp32, workers: 0}}
"""
STEPS = 6  # two epochs of 24 images in batches of 8
Finished = tuple[RunFolder, ClassificationTest]


@pytest.fixture(scope="module")
def config_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    make_crops(folder / "tree", images=24, classes=6, seed=0, val=12)
    path = folder / "tiny_cls.yaml"
    path.write_text(TINY.format(root=folder / "tree"))
    return path


@pytest.fixture(scope="module")
def config(config_path: Path) -> ClassificationConfig:
    return load_config(ClassificationConfig, config_path)


@pytest.fixture(scope="module")
def finished(config: ClassificationConfig, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    run = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    outcome = run_classification(run, config)
    assert outcome is not None
    return run, outcome


def command(config_path: Path, run: Path, *overrides: str) -> list[str]:
    return ["train_cls", str(config_path), "--run", str(run), *overrides]


def weights_of(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_model(run.classifier_path)[0].state_dict()


def assert_equal_weights(one: RunFolder, two: RunFolder) -> None:
    mine, theirs = weights_of(one), weights_of(two)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


def test_a_run_ends_with_weights_a_table_and_a_report(finished: Finished, config: ClassificationConfig) -> None:
    run, outcome = finished
    assert [(row.models, row.crops, row.images) for row in outcome.rows] == [(1, 1, 12), (1, 10, 12)]
    assert "Number of crops" in outcome.text()
    assert json.loads((run.path / "report" / "metrics.json").read_text())["images"] == 12
    assert "Compared to base" in (run.path / "report" / "report.md").read_text()
    network, _, metadata = load_model(run.classifier_path)
    assert metadata["crop_size"] == 32
    assert tuple(metadata["classes"]) == read_classes(run.path / "classes.csv").names
    assert not [key for key in network.state_dict() if key.startswith("heads")]
    assert load_config(ClassificationConfig, run.config_path) == config


def test_every_step_is_in_the_metrics_once(finished: Finished) -> None:
    with (finished[0].path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert set(rows[0]) == {"step", "loss", "main_loss", "top1", "learning_rate", "images_per_second"}
    assert all(float(row["loss"]) > float(row["main_loss"]) for row in rows)  # the auxiliary losses are added


def test_a_finished_run_is_not_trained_or_tested_again(finished: Finished, config: ClassificationConfig) -> None:
    run, outcome = finished
    before = (run.path / "log.jsonl").read_text().count("stage done")
    again = run_classification(run, config)
    assert again == outcome
    assert (run.path / "log.jsonl").read_text().count("stage done") == before


def test_a_killed_training_resumes_to_the_very_same_weights(
    finished: Finished, config_path: Path, tmp_path: Path
) -> None:
    killed = RunFolder(tmp_path / "run")
    checkpoint = killed.path / "stages" / "train" / "present" / "last.pt"
    words = command(config_path, killed.path)
    kill_once_written(words, checkpoint)
    assert not killed.classifier_path.exists()
    finish([*words, "engine.workers=1"])
    assert "stage resumed" in (killed.path / "log.jsonl").read_text()
    assert_equal_weights(killed, finished[0])
    mine, theirs = (run.path / "report" / "metrics.json" for run in (killed, finished[0]))
    assert mine.read_bytes() == theirs.read_bytes()


def test_two_processes_train_as_one_does(config_path: Path, tmp_path: Path) -> None:
    # without dropout, which each process draws for itself, and batch statistics, which each has of its own share
    plain = ["network.variant=paper", "network.dropout=0", "train.auxiliary=0", "train.average=none"]
    runs = [RunFolder(tmp_path / name) for name in ("one", "two")]
    for processes, run in enumerate(runs, 1):
        finish(command(config_path, run.path, *plain), processes)
    config = load_config(ClassificationConfig, config_path, plain)
    images = open_images(config.data, "train")
    trainer, _ = make_classifier_trainer(config, images, Group(0, 1, torch.device("cpu")))
    mine, theirs = (weights_of(run) for run in runs)
    # within 15% of what training changed: sums in another order now and then flip a rectifier
    for key, start in trainer.network.state_dict().items():
        assert (mine[key] - theirs[key]).norm() < 0.15 * (mine[key] - start).norm(), key
    rows = [list(csv.reader((run.path / "metrics.csv").open())) for run in runs]
    losses = [[float(row[1]) for row in table[1:]] for table in rows]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_batch_that_the_processes_cannot_share_is_refused(config: ClassificationConfig) -> None:
    images = open_images(config.data, "train")
    with pytest.raises(ConfigError, match=r"train.batch_size must be a multiple of the 3 processes, got 8"):
        make_classifier_trainer(config, images, Group(0, 3, torch.device("cpu")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["network.variant=tiny"], r"^train\.auxiliary must be 0 for a network that is not GoogLeNet, got tiny$"),
        (["network.variant=small"], r"^crop\.size must be at least 40 pixels for small, got 32$"),
    ],
)
def test_what_a_network_cannot_do_is_told(
    config_path: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = replace(tiny.FACTS["tiny"], smallest=40)
    monkeypatch.setitem(choices.BACKBONES, "small", choices.BACKBONES["tiny"])
    monkeypatch.setitem(tiny.FACTS, "small", facts)
    config = load_config(ClassificationConfig, config_path, words)
    images = open_images(config.data, "train")
    with pytest.raises(ConfigError, match=message):
        make_classifier_trainer(config, images, Group(0, 1, torch.device("cpu")))


def test_epochs_are_counted_in_steps(config: ClassificationConfig) -> None:
    images = open_images(config.data, "train")
    trainer, _ = make_classifier_trainer(config, images, Group(0, 1, torch.device("cpu")))
    assert trainer.schedule.steps == STEPS
    assert trainer.schedule.step_size == 24
    assert trainer.schedule.step_factor == 0.96


def test_models_are_averaged_and_the_first_is_tested_alone(
    finished: Finished, config: ClassificationConfig, tmp_path: Path
) -> None:
    run, outcome = finished
    images = open_images(config.data, "val")
    path = run.classifier_path
    twice = run_classification_test(RunFolder(tmp_path), [path, path], images, [10, 1, 1], "ignore", config.engine)
    assert [(row.models, row.crops) for row in twice.rows] == [(1, 1), (1, 10), (2, 1), (2, 10)]
    assert [row.top1_error for row in twice.rows] == [row.top1_error for row in outcome.rows] * 2


def test_an_interrupted_test_goes_on_where_it_was(
    finished: Finished, config: ClassificationConfig, tmp_path: Path
) -> None:
    images = open_images(config.data, "val")
    many = replace(images, paths=np.tile(images.paths, 8), labels=np.tile(images.labels, 8))
    engine = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4, workers=0)
    model = finished[0].classifier_path
    run = RunFolder(tmp_path / "run")
    victim = tmp_path / "late.JPEG"
    broken = replace(many, paths=np.array([*many.paths[:-1], str(victim)]))
    with pytest.raises(DataError, match=r"late\.JPEG"):
        run_classification_test(run, [model], broken, [1], "ignore", engine)
    assert len(list(run.path.rglob("parts/*.npz"))) == 1  # the first 64 of 96 images
    assert len(list(run.path.rglob("parts/*.journal"))) == 1
    victim.write_bytes(Path(many.paths[-1]).read_bytes())
    outcome = run_classification_test(run, [model], broken, [1], "ignore", engine)
    whole = run_classification_test(RunFolder(tmp_path / "whole"), [model], many, [1], "ignore", engine)
    assert outcome.rows == whole.rows


def test_a_model_is_not_tested_on_other_classes(
    finished: Finished, config: ClassificationConfig, tmp_path: Path
) -> None:
    images = open_images(config.data, "val")
    fewer = replace(images, classes=replace(images.classes, names=images.classes.names[::-1], wnids=()))
    with pytest.raises(DataError, match="classes of val must be the 6 of the model in their order"):
        run_classification_test(
            RunFolder(tmp_path), [finished[0].classifier_path], fewer, [1], "ignore", config.engine
        )
