"""A backbone that the project does not know is one module and one line: CONTRIBUTING's recipe, tried."""

from pathlib import Path

import pytest
from made_runs import methods_of
from toy_backbone import Toy

from detector import choices, load_detector
from detector.commands import main as run_command
from detector.config import Config, load_config
from detector.data.images import read_image
from detector.jobs.train_detector import run_training
from detector.networks.heads import load_boxes, load_svm
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder

HEADS = ["svm.enabled=true", "boxes.enabled=true", "boxes.grid=2", "detect.min_svm_score=-100"]


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(choices.BACKBONES, "toy", "toy_backbone")


@pytest.mark.parametrize("mode", ["warp", "shared"])
def test_a_detector_is_trained_and_used_with_it(tiny_config_path: Path, tmp_path: Path, mode: str) -> None:
    words = ["network.variant=toy", "finetune.steps=2", f"region.mode={mode}", "region.shared_side=64", *HEADS]
    run = RunFolder(tmp_path / "run")
    outcome = run_training(run, load_config(Config, tiny_config_path, words))
    assert methods_of(outcome) == ["softmax", "softmax+boxes", "svm", "svm+boxes"]
    assert "a toy, 2 steps of fine-tuning" in (run.path / "report/report.md").read_text()
    assert isinstance(load_model(run.model_path)[0].backbone, Toy)
    assert load_svm(run.svm_path).weight.shape == (2, 6)
    assert load_boxes(run.boxes_path).weight.shape == (2, 4, 6 * 4)
    assert len(load_detector(run.path).detect(read_image(outcome.dataset.record(0).path)).scores)


def test_it_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["describe", "toy", "--size", "32", "--classes", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a toy: input 32x32x3, 5 classes"
    assert [line.split()[:2] for line in lines[3:7]] == [
        ["first", "4x4x4"],
        ["second", "2x2x6"],
        ["avg", "pool"],
        ["linear", "1x1x5"],
    ]
