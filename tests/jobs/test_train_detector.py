import csv
import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import methods_of
from processes import finish, metrics_without_times, started, wait_until_written

from detector.config import Config, load_config
from detector.data.classes import ClassList, read_classes
from detector.data.readers import open_dataset
from detector.errors import ConfigError, DataError
from detector.inference.models import ModelFiles
from detector.jobs import train_detector
from detector.jobs.load_detector import load_detector
from detector.jobs.model_card import model_card
from detector.jobs.outcome import Outcome, outcome_text
from detector.jobs.test_detector import run_testing
from detector.jobs.tested_runs import open_runs
from detector.jobs.train_detector import run_training
from detector.networks.heads import load_boxes
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.split import Split, open_split
from detector.stages.detect import run_detect
from detector.stages.propose import run_propose
from detector.stages.region_sets import TrainingRegions
from detector.stages.score_sources import NetworkScores
from detector.training.batch import RegionBatch
from detector.training.checkpoint import load_checkpoint
from detector.training.loop import DoneStep, Trainer

Finished = tuple[RunFolder, Outcome]


def events(run: RunFolder) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    return [(line["event"], line.get("stage", "")) for line in lines]


def files_of(run: RunFolder) -> set[str]:
    """The files of a run, whatever the keys of their results."""
    paths = (str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file())
    return {re.sub(r"/[0-9a-f]{16}/", "/KEY/", path) for path in paths}


def test_a_run_ends_with_weights_detections_and_a_report(finished_run: Finished) -> None:
    run, outcome = finished_run
    assert outcome.report is not None
    metrics = json.loads((outcome.folder / "metrics.json").read_text())
    assert metrics["protocol"] == "ilsvrc"
    assert [entry["name"] for entry in metrics["classes"]] == list(outcome.dataset.classes.names)
    page = (run.path / "report" / "index.html").read_text()
    assert "data:image" in page
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?http""", page)
    assert "mean AP" in outcome_text(outcome)
    assert read_classes(run.path / "classes.csv") == outcome.dataset.classes
    for name in ("config.yaml", "environment.json", "metrics.csv", "stages/detect/val/softmax/submission.txt"):
        assert (run.path / name).stat().st_size, name
    assert isinstance(json.loads((run.path / "stages/detect/val/softmax/results.json").read_text()), list)


def test_the_model_file_says_all_that_is_needed_to_use_it(finished_run: Finished, tiny_config: Config) -> None:
    run, outcome = finished_run
    network, _, metadata = load_model(run.model_path)
    assert network.classifier.out_features == 3
    assert metadata["classes"] == list(outcome.dataset.classes.names)
    assert metadata["region"] == tiny_config.region.model_dump(mode="json")


def test_googlenet_goes_the_same_way(tiny_config_path: Path, tmp_path: Path) -> None:
    words = [
        "network.variant=paper_bn",
        "finetune.steps=2",
        "finetune.checkpoint_every=9",
        "boxes.enabled=true",
        "boxes.grid=1",
    ]
    run = RunFolder(tmp_path / "run")
    outcome = run_training(run, load_config(Config, tiny_config_path, words))
    assert methods_of(outcome) == ["softmax", "softmax+boxes"]
    assert "GoogLeNet paper_bn, 2 steps of fine-tuning" in (run.path / "report/report.md").read_text()
    assert load_boxes(run.boxes_path).weight.shape == (2, 4, 1024)


def test_every_step_is_in_the_metrics_once(finished_run: Finished) -> None:
    with (finished_run[0].path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())


@pytest.mark.parametrize("reached", ["label", "run_test"])
def test_a_model_is_used_by_the_settings_of_the_last_training_alone(
    finished_run: Finished, tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: str
) -> None:
    run = RunFolder(Path(shutil.copytree(finished_run[0].path, tmp_path / "run")))
    before = run.statement_path.read_bytes()
    other = tiny_config.model_copy(update={"finetune": tiny_config.finetune.model_copy(update={"steps": 2})})

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train_detector, reached, interrupted)
        run_training(run, other)
    if reached == "label":
        with pytest.raises(
            ConfigError, match=r"finetune.steps must be what the network was trained with, 6, got 2"
        ):
            load_detector(run.path)
    else:
        load_detector(run.path)
        assert "This run was not evaluated." in model_card(run, other)
        with pytest.raises(DataError, match="detections must be those of the run's model, got those of another"):
            open_runs([str(run.path)], (), ())
    run_training(run, tiny_config)
    load_detector(run.path)
    assert run.statement_path.read_bytes() == before
    assert "| **reported** |" in model_card(run, tiny_config)
    open_runs([str(run.path)], (), ())


def test_finished_stages_are_skipped_and_give_the_same_report(finished_run: Finished, tiny_config: Config) -> None:
    run, outcome = finished_run
    before = len(events(run))
    again = run_training(run, tiny_config)
    assert {event for event, _ in events(run)[before:]} <= {"start", "data"}
    assert outcome.report is not None
    assert again.report is not None
    np.testing.assert_array_equal(again.report.ap, outcome.report.ap)


def test_results_that_were_lost_or_cut_are_written_again(finished_run: Finished, tiny_config: Config) -> None:
    run, _ = finished_run
    results = run.path / "stages/detect/val/softmax/results.json"
    submission, metrics = results.with_name("submission.txt"), metrics_without_times(run.path)
    whole = results.read_bytes(), submission.read_bytes()
    results.write_bytes(whole[0][:-9])
    submission.unlink()
    (run.path / "report/metrics.json").unlink()
    run_training(run, tiny_config)
    assert (results.read_bytes(), submission.read_bytes()) == whole
    assert metrics_without_times(run.path) == metrics


def test_a_changed_setting_repeats_only_what_depends_on_it(finished_run: Finished, tiny_config: Config) -> None:
    run, _ = finished_run
    before = len(events(run))
    stricter = tiny_config.detect.model_copy(update={"nms_iou": 0.2})
    run_training(run, tiny_config.model_copy(update={"detect": stricter}))
    assert {stage for event, stage in events(run)[before:] if event == "stage done"} == {
        "detect/val/softmax",
        "evaluate/val",
    }
    run_training(run, tiny_config)


def test_another_split_can_be_tested(finished_run: Finished, tiny_config: Config) -> None:
    run, _ = finished_run
    outcome = run_testing(run, tiny_config, ("train",))
    assert len(outcome.dataset) == 12
    assert outcome.folder == run.path / "report_train"
    assert (outcome.folder / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("engine", {"device": "nope"}, "engine.device must be auto, cpu or a device of this machine, got nope"),
        ("network", {"weights": Path("/nowhere.npz")}, "/nowhere.npz"),
        ("region", {"crop_size": 20}, r"^region\.crop_size must be at least 32 pixels for tiny, got 20$"),
        (
            "cascade",
            {"keep": 10, "crop_size": 20},
            r"^cascade\.crop_size must be at least 32 pixels for tiny, got 20$",
        ),
    ],
)
def test_what_is_wrong_with_device_weights_or_crops_is_told_before_any_work(
    tiny_config: Config, tmp_path: Path, section: str, values: dict[str, object], message: str
) -> None:
    changed = getattr(tiny_config, section).model_copy(update=values)
    with pytest.raises((ConfigError, DataError), match=message):
        run_training(RunFolder(tmp_path / "run"), tiny_config.model_copy(update={section: changed}))
    assert not (tmp_path / "run").exists()


def test_a_model_is_not_tested_on_other_classes(finished_run: Finished, tiny_config: Config) -> None:
    run, outcome = finished_run
    first, second = outcome.dataset.classes.names
    swapped = replace(outcome.dataset, classes=ClassList((second, first)))
    split, engine = Split(swapped, "val"), tiny_config.engine
    store = run_propose(run.stage("propose", "val"), split, tiny_config.proposals, engine, tiny_config.seed)
    source = NetworkScores([ModelFiles(run.model_path)], engine, tiny_config.detect)
    with pytest.raises(DataError, match=f"got 2 classes for 2, and '{second}' for '{first}'"):
        run_detect(run.stage("detect", "swapped"), split, store, source, tiny_config.detect, engine)


def test_testing_needs_a_trained_run(tmp_path: Path, tiny_config: Config) -> None:
    with pytest.raises(DataError, match="must hold a trained model"):
        run_testing(RunFolder(tmp_path), tiny_config, ("val",))


def test_a_training_keeps_others_out_and_once_killed_resumes_to_the_very_same_weights_and_metrics(
    finished_run: Finished, tiny_config_path: Path, tmp_path: Path
) -> None:
    command = ["train_det", str(tiny_config_path), "--run", str(tmp_path / "run")]
    killed = RunFolder(tmp_path / "run")
    checkpoint = killed.path / "stages" / "finetune" / "present" / "last.pt"
    with started(command) as (first,):
        wait_until_written(first, checkpoint.parent, checkpoint.name)
        os.kill(first.pid, signal.SIGSTOP)  # it keeps its lock, and time
        with started(command) as (second,):
            assert second.status() == 2
            (line,) = second.said().splitlines()
        assert line.startswith(f"train_det: {killed.path} must be free, got process {first.pid} on ")
        first.kill()
    assert not killed.model_path.exists()
    finish([*command, "engine.workers=1"])
    assert ("stage resumed", "finetune") in events(killed)
    run = finished_run[0]
    for name in (
        "stages/detect/val/softmax/submission.txt",
        "stages/propose/train/store/boxes.npy",
    ):
        assert (killed.path / name).read_bytes() == (run.path / name).read_bytes(), name
    assert metrics_without_times(killed.path) == metrics_without_times(run.path)
    assert files_of(killed) <= files_of(run)  # of which other tests make further reports
    mine, theirs = (load_model(r.model_path)[0].state_dict() for r in (killed, run))
    assert all(np.array_equal(mine[key], theirs[key]) for key in theirs)


def test_an_interrupted_training_ends_its_step_and_resumes_to_the_very_same_weights(
    finished_run: Finished, tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = tiny_config.finetune.model_copy(update={"checkpoint_every": 100})
    config = tiny_config.model_copy(update={"finetune": rare})
    run = RunFolder(tmp_path / "run")
    train_step = Trainer._train_step

    def interrupt_in_the_third(trainer: Trainer, batch: RegionBatch) -> DoneStep:
        if batch.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return train_step(trainer, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_train_step", interrupt_in_the_third)
        run_training(run, config)
    state = load_checkpoint(run.path / "stages" / "finetune" / "present" / "last.pt")
    assert state is not None
    assert state["step"] == 3
    run_training(run, config)
    mine, theirs = (load_model(r.model_path)[0].state_dict() for r in (run, finished_run[0]))
    assert all(np.array_equal(mine[key], theirs[key]) for key in theirs)


def test_an_unreadable_image_stops_the_run_or_is_left_out(
    tiny_data: Path, tiny_config: Config, tmp_path: Path
) -> None:
    root = shutil.copytree(tiny_data, tmp_path / "tree")
    victim = min((root / "Data/DET/train").glob("*.JPEG"))
    victim.write_bytes(victim.read_bytes()[:4000])
    data = tiny_config.data.model_copy(update={"root": root})
    with pytest.raises(DataError, match=victim.name):
        open_dataset(data, data.train)
    dataset = open_dataset(data.model_copy(update={"bad_images": "skip"}), data.train)
    assert len(dataset) == 11


def test_an_image_that_breaks_later_gets_no_proposals_and_trains_nothing(
    tiny_data: Path, tiny_config: Config, tmp_path: Path
) -> None:
    root = shutil.copytree(tiny_data, tmp_path / "tree")
    data = tiny_config.data.model_copy(update={"root": root})
    strict = open_split(data, data.train)
    lost = strict.dataset.record(0)
    lost.path.unlink()
    settings = tiny_config.proposals, tiny_config.engine, tiny_config.seed
    with pytest.raises(DataError, match=lost.path.name):
        run_propose(RunFolder(tmp_path / "strict").stage("propose", "train"), strict, *settings)
    lenient = replace(strict, skips_bad=True)
    stage = RunFolder(tmp_path / "run").stage("propose", "train")
    store = run_propose(stage, lenient, *settings)
    assert stage.facts()["without_proposals"] == [lost.image_id]
    assert len(TrainingRegions(lenient, store, 0.5).labels(0)) == 0
    with pytest.raises(DataError, match=lost.path.name):  # nor passes for one without regions afterwards
        run_propose(stage, strict, *settings)


def test_the_synthetic_lists_mark_some_images_as_not_exhaustive(tiny_config: Config) -> None:
    dataset = open_dataset(tiny_config.data, tiny_config.data.train)
    assert 0 < dataset.exhaustive.sum() < len(dataset)
