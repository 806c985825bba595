"""Who uses a run's model checks that its files are of the settings that they are used by."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from made_runs import write_run

from detector import commands
from detector.commands import ablate, test_det
from detector.config import Config
from detector.data.classes import read_classes
from detector.errors import ConfigError, DataError
from detector.jobs.ablate import run_ablation
from detector.jobs.export import export_run
from detector.jobs.load_detector import load_detector
from detector.jobs.model_card import model_card
from detector.jobs.model_check import check_cascade, check_rescoring, check_weights
from detector.jobs.test_detector import run_testing
from detector.jobs.trained_models import further_models, trained_models
from detector.networks.weight_files.weights import load_model, save_model
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.runs.statement import begin_statement, state_files

STEPS = (
    r"^finetune.steps must be what the network was trained with, 50000, got 400 \(.*\); train_det makes it anew"
)
FOREIGN = (
    r"^model must hold files of its last training alone, got one of another \(.*{}\); train_det makes it anew"
)


@pytest.fixture
def run(tiny_data: Path, tmp_path: Path) -> RunFolder:
    """A run on the tiny data set."""
    words = {"format": "ilsvrc", "root": tiny_data, "train": "train", "test": "val", "classes": "synsets.csv"}
    data = [f"data.{name}={value}" for name, value in words.items()]
    return write_run(tmp_path / "run", *data, classes=read_classes(tiny_data / "synsets.csv").names)


def settings(run: RunFolder, *words: str) -> Config:
    return run.read_config(Config, list(words))


def models(run: RunFolder, *words: str) -> list[Path]:
    """The networks that a job with these words over the run's settings would use."""
    return [model.network for model in trained_models(Job(run, settings(run, *words), alone()))]


def state(run: RunFolder, *paths: Path) -> None:
    """Let the run state that its settings made these files, and no others."""
    run.statement_path.unlink(missing_ok=True)
    begin_statement(run, settings(run), [])
    state_files(run, paths)


READERS: dict[str, Callable[[RunFolder], object]] = {
    "test_det": lambda run: run_testing(run, settings(run), ("val",)),
    "ablate": lambda run: run_ablation(run, settings(run), ("val",), alone()),
    "load_detector": lambda run: load_detector(run.path),
    "export": lambda run: export_run(run, run.path.with_name("out"), safetensors=True, onnx=False),
    "ensemble.runs": lambda run: further_models(settings(run, f"ensemble.runs=[{run.path}]").ensemble),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_takes_a_model_of_other_settings_for_the_run_s(run: RunFolder, reader: str) -> None:
    run.begin(settings(run, "finetune.steps=400"))  # and then the training was interrupted
    with pytest.raises(ConfigError, match=STEPS):
        READERS[reader](run)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=3", "seed must be what the network was trained with, 0, got 3"),
        ("finetune.learning_rate=0.5", "finetune.learning_rate must be what .*, 0.001, got 0.5"),
        ("pretrain.steps=5", "pretrain.steps must be what .*, 0, got 5"),
        ("network.variant=paper", "network.variant must be what .*, 'tiny', got 'paper'"),
        ("region.fill=image", "region.fill must be what the network was trained on, mean, got image"),
    ],
)
def test_a_model_is_not_used_as_one_of_other_settings(run: RunFolder, word: str, message: str) -> None:
    for path in (run.path, run.model_path):
        with pytest.raises(ConfigError, match=message):
            load_detector(path, [word])


@pytest.mark.parametrize("command", ["test_det RUN", "ablate RUN", "compare RUN RUN --out OUT --set"])
def test_commands_refuse_other_settings_of_the_training(
    command: str, run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command.replace("RUN", str(run.path)).replace("OUT", str(tmp_path / "out")).split()
    assert commands.main([*words, "network.weights=bvlc"]) == 2
    message = "network.weights must be what the detector was trained with, None, got 'bvlc'"
    assert capsys.readouterr().err.startswith(f"{words[0]}: {message} ({run.path}); train_det makes it anew")


@pytest.mark.parametrize("module", [test_det, ablate])
def test_a_test_tells_which_of_the_words_given_nothing_uses(
    module: ModuleType, run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def test(*_: object) -> None:
        raise DataError("what follows is another matter")

    monkeypatch.setattr(module, "run_testing" if module is test_det else "run_ablation", test)
    run.begin(settings(run, "detect.iterated=9"))  # of which train_det told
    words = ["detect.nms_iou=0.5", "detect.soft_sigma=0.1", "context.image=[best]"]
    assert commands.main([module.__name__.rpartition(".")[2], str(run.path), *words]) == 2
    assert capsys.readouterr().err.splitlines()[:-1] == [
        "warning: without context.splits nothing uses context.image",
        "warning: without detect.nms soft_gaussian nothing uses detect.soft_sigma",
    ]


def test_what_is_of_the_test_alone_may_be_other_than_in_training(run: RunFolder) -> None:
    state(run, run.model_path)
    words = ("detect.nms_iou=0.4", "proposals.max_boxes=3", "data.root=gone", "finetune.log_every=1")
    assert models(run, *words) == [run.model_path]


def test_a_file_that_states_no_settings_is_taken_as_it_is(run: RunFolder) -> None:
    network, preprocessing, facts = load_model(run.model_path)
    for config in ("", "finetune: {steps: -1}", "finetune: {steps: 50000, dropped: 1}\ngone: {}"):
        known = {name: facts[name] for name in ("classes", "region")}
        stated = {**known, "config": f"network: {{variant: tiny}}\n{config}" if config else ""}
        save_model(run.model_path, network, preprocessing, **stated)
        assert models(run) == [run.model_path]


def test_the_data_that_an_interrupted_training_has_changed_are_named(run: RunFolder) -> None:
    run.begin(settings(run, "data.train=val"))
    state(run)
    message = r"data.train must be what the network was trained with, \['train'\], got \['val'\]"
    with pytest.raises(ConfigError, match=message):
        models(run)


def test_a_model_of_the_same_settings_and_other_data_is_not_used(run: RunFolder) -> None:
    state(run)
    with pytest.raises(DataError, match=FOREIGN.format(r"region_classifier\.safetensors")):
        models(run)


def test_a_member_that_another_training_left_is_not_averaged(run: RunFolder) -> None:
    state(run, run.model_path)
    (run.path / "members/1").mkdir(parents=True)
    shutil.copytree(run.path / "model", run.member(1).path / "model")
    with pytest.raises(DataError, match=FOREIGN.format(r"members/1/.*safetensors")):
        models(run, "ensemble.members=2")


def test_heads_of_other_settings_are_not_used(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "svm.enabled=true", "boxes.enabled=true")
    state(run, run.model_path, run.svm_path, run.boxes_path)
    assert models(run) == [run.model_path]
    with pytest.raises(ConfigError, match=r"svm.c must be what the models were trained with, 0.001, got 0.5"):
        models(run, "svm.c=0.5")
    assert models(run, "svm.enabled=false", "svm.c=0.5") == [run.model_path]


def test_the_weights_of_models_are_used_as_they_were_learned(run: RunFolder) -> None:
    run.begin(settings(run, "ensemble.fit_weights=[held]"))
    run.weights_path.write_text("{}")
    state(run, run.model_path, run.weights_path)
    check_weights(run, settings(run), [])
    cases = {"ensemble.fit_weights=[val]": r"\['held'\], got \['val'\]", "ensemble.mirror=true": "False, got True"}
    for word, message in cases.items():
        with pytest.raises(
            ConfigError, match=f"must be what the weights of the models were learned with, {message}"
        ):
            check_weights(run, settings(run, word), [])
    further = trained_models(Job(run, settings(run), alone()))
    with pytest.raises(DataError, match=r"ensemble.runs must be what .*, got runs with other models"):
        check_weights(run, settings(run), further)
    run.weights_path.write_text("{ }")
    with pytest.raises(DataError, match=FOREIGN.format("ensemble.json")):
        check_weights(run, settings(run), [])


def test_a_rescoring_is_used_as_it_was_learned(run: RunFolder) -> None:
    run.begin(settings(run, "context.splits=[held]"))
    run.context_path.write_text("rescoring")
    state(run, run.model_path, run.context_path)
    check_rescoring(run, settings(run, "context.after_nms=false"), run.model_path, [])
    cases = {
        "context.splits=[val]": r"\['held'\], got \['val'\]",
        "context.region=scores": "'box', got 'scores'",
        "detect.iterations=1": "0, got 1",
        "ensemble.paddings=[4]": r"\[\], got \[4\]",
    }
    for word, message in cases.items():
        with pytest.raises(ConfigError, match=f"must be what the rescoring was learned with, {message}"):
            check_rescoring(run, settings(run, word), run.model_path, [])
    state(run, run.model_path)
    with pytest.raises(DataError, match=FOREIGN.format(r"context\.safetensors")):
        check_rescoring(run, settings(run), run.model_path, [])


def test_a_cascade_is_used_as_it_was_learned(run: RunFolder) -> None:
    run.begin(settings(run, "cascade.keep=5"))
    run.cascade_path.write_text("cascade")
    state(run, run.model_path, run.cascade_path)
    check_cascade(run, settings(run, "cascade.keep=9", "cascade.nms_iou=0.5"))
    with pytest.raises(
        ConfigError, match=r"cascade.crop_size must be what the cascade was learned with, 64, got 48"
    ):
        check_cascade(run, settings(run, "cascade.crop_size=48"))


def test_what_is_exported_states_what_the_run_does(run: RunFolder, tmp_path: Path) -> None:
    state(run, run.model_path)
    exported = RunFolder(tmp_path / "out")
    export_run(run, exported.path, safetensors=True, onnx=False)
    assert exported.statement_path.read_bytes() == run.statement_path.read_bytes()
    assert models(exported) == [exported.model_path]
    run.statement_path.unlink()
    export_run(run, exported.path, safetensors=True, onnx=False)
    assert not exported.statement_path.exists()


def test_the_card_tells_of_the_training_what_the_weights_state(run: RunFolder) -> None:
    card = model_card(run, settings(run, "finetune.steps=400", "finetune.optimizer=adamw"))
    assert "- Fine-tuning: 50000 steps of 128 regions, sgd;" in card


def test_the_card_takes_no_report_of_an_earlier_model_for_the_run_s(run: RunFolder) -> None:
    run.methods_path.parent.mkdir()
    run.methods_path.write_text('{"softmax": 0.75}')
    (run.path / "report/metrics.json").write_text('{"protocol": "voc2010", "mean_ap": 0.75, "classes": []}')
    assert "| softmax | 0.7500 |" in model_card(run, settings(run))
    state(run, run.model_path, run.methods_path)
    assert "| softmax | 0.7500 |" in model_card(run, settings(run))
    state(run, run.model_path)
    assert "This run was not evaluated." in model_card(run, settings(run))
