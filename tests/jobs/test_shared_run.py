"""Regions that share the maps of their image, through all stages of a run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_runs import methods_of
from processes import kill_once_written, metrics_without_times

from detector import load_detector
from detector.config import Config, load_config
from detector.data.images import read_image
from detector.errors import ConfigError
from detector.jobs.export import export_run
from detector.jobs.outcome import Outcome
from detector.jobs.test_detector import run_testing
from detector.jobs.train_detector import run_training
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.store import Store

ROOT = Path(__file__).parents[2]
SHARED = ["region.mode=shared", "region.shared_side=[64, 96]", "region.shared_longest=200", "finetune.steps=3"]
HEADS = [
    "svm.enabled=true",
    "svm.retrain_after=50",
    "boxes.enabled=true",
    "boxes.grid=1",
    "detect.min_svm_score=-3",
]
METHODS = ["softmax", "softmax+boxes", "svm", "svm+boxes"]
FILES = ("model/svm.safetensors", "model/boxes.safetensors", "report/methods.json")
Finished = tuple[RunFolder, Outcome]


@pytest.fixture(scope="module")
def finished(tiny_config_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    run = RunFolder(tmp_path_factory.mktemp("shared") / "run")
    return run, run_training(run, load_config(Config, tiny_config_path, [*SHARED, *HEADS]))


def command(config_path: Path, run: Path, *settings: str, processes: int = 1) -> list[str]:
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone", "--"]
    tool = [str(ROOT / "tools/train_det.py"), str(config_path), *SHARED, *settings, "--run", str(run)]
    return [sys.executable, *(launcher if processes > 1 else []), *tool]


def test_every_way_to_score_stands_on_shared_maps(finished: Finished) -> None:
    run, outcome = finished
    assert methods_of(outcome) == METHODS
    metadata = load_model(run.model_path)[2]
    assert metadata["region"]["mode"] == "shared"
    assert metadata["region"]["shared_side"] == [64, 96]


def test_the_detector_finds_in_a_picture_what_the_run_found(finished: Finished) -> None:
    run, outcome = finished
    found = load_detector(run.path).detect(read_image(outcome.dataset.record(0).path))
    stored = Store.open(run.path / "stages/detect/val/svm+boxes/store").read(0)
    assert len(stored["scores"])
    np.testing.assert_allclose(found.scores, stored["scores"], atol=2e-2)  # features are stored in half precision


def test_views_of_an_ensemble_are_mirrored_and_wider_too(finished: Finished) -> None:
    run, _ = finished
    config = run.read_config(Config, ["ensemble.paddings=[0]", "ensemble.mirror=true"])
    assert methods_of(run_testing(run, config, ("val",)))[-1] == "ensemble"


def test_onnx_is_for_crops(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^region.mode must be warp for --onnx, got shared$"):
        export_run(finished[0], tmp_path / "out", safetensors=False, onnx=True)


def test_a_run_killed_while_it_trains_ends_with_the_very_same_files(
    finished: Finished, tiny_config_path: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = command(tiny_config_path, run, *HEADS)
    kill_once_written(words, run / "stages/finetune/present/last.pt")
    subprocess.run(words, check=True, capture_output=True)
    for name in FILES:
        assert (run / name).read_bytes() == (finished[0].path / name).read_bytes(), name
    assert metrics_without_times(run) == metrics_without_times(finished[0].path)


def test_two_processes_train_as_one(tiny_config_path: Path, tmp_path: Path) -> None:
    settings = (
        "network.variant=paper",
        "network.dropout=0",
        "finetune.learning_rate=0.001",
        "pretrain.steps=1",
        "pretrain.batch_size=8",
    )
    runs = [RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")]
    for processes, run in enumerate(runs, 1):
        words = command(tiny_config_path, run.path, *settings, processes=processes)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_model(run.model_path)[0].state_dict() for run in runs)
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["finetune.positives=3"], "finetune.positives must be a multiple of region.shared_images 2, got 3"),
        (["region.shared_side=16"], "region.shared_side must be a list of whole numbers from 32 to 8192, got 16"),
    ],
)
def test_settings_of_shared_maps_that_make_no_sense_are_one_line(
    tiny_config_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(Config, tiny_config_path, [*SHARED, *words])
