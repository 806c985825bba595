"""Regions that share the maps of their image, through all stages of a run."""

from pathlib import Path

import numpy as np
import pytest
from explained_images import explained_as_detected
from made_runs import methods_of

from detector import load_detector
from detector.config import Config, load_config
from detector.data.images import read_image
from detector.errors import ConfigError
from detector.jobs.export import export_run
from detector.jobs.outcome import Outcome
from detector.jobs.test_detector import run_testing
from detector.jobs.train_detector import run_training
from detector.networks.heads import load_svm
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.store import Store

SHARED = ["region.mode=shared", "region.shared_side=[64, 96]", "region.shared_longest=200", "finetune.steps=3"]
HEADS = [
    "svm.enabled=true",
    "svm.retrain_after=50",
    "boxes.enabled=true",
    "boxes.grid=1",
    "detect.min_svm_score=-3",
]
METHODS = ["softmax", "softmax+boxes", "svm", "svm+boxes"]
Finished = tuple[RunFolder, Outcome]


@pytest.fixture(scope="module")
def finished(tiny_config_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    run = RunFolder(tmp_path_factory.mktemp("shared") / "run")
    return run, run_training(run, load_config(Config, tiny_config_path, [*SHARED, *HEADS]))


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


def test_regions_of_shared_maps_are_explained_by_svms(finished: Finished) -> None:
    run, outcome = finished
    image = read_image(outcome.dataset.record(0).path)
    explanation = explained_as_detected(load_detector(run.path, "engine.precision=fp32"), image)
    assert explanation.trace.by_svm
    assert "pooled from its maps" in explanation.notes[0]
    svm = load_svm(run.svm_path)
    for seen in explanation.seen:
        (name, score), evidence = seen.best[0], seen.evidence[0]
        bias = float(svm.bias[explanation.trace.classes.index(name)])
        assert evidence.mean() + bias == pytest.approx(score, rel=1e-3, abs=1e-3)
