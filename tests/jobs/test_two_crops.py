"""Regions seen twice, tight and wide, through all stages of a run."""

from pathlib import Path

import numpy as np
import pytest
from explained_images import explained_as_detected
from made_runs import methods_of

from detector import load_detector
from detector.config import Config, load_config
from detector.data.images import read_image
from detector.errors import ConfigError
from detector.jobs.outcome import Outcome
from detector.jobs.test_detector import run_testing
from detector.jobs.train_detector import run_training
from detector.networks.backbones import backbone_facts
from detector.networks.heads import load_boxes, load_svm
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.store import Store

WIDTH = backbone_facts("tiny").width

SETTINGS = [
    "region.wide_padding=8",
    "region.fill=image",
    "finetune.steps=3",
    "svm.enabled=true",
    "svm.retrain_after=50",
    "boxes.enabled=true",
    "boxes.grid=1",
    "detect.min_svm_score=-3",
]
METHODS = ["softmax", "softmax+boxes", "svm", "svm+boxes"]


@pytest.fixture(scope="module")
def finished(tiny_config_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Outcome]:
    run = RunFolder(tmp_path_factory.mktemp("two_crops") / "run")
    return run, run_training(run, load_config(Config, tiny_config_path, SETTINGS))


def test_every_way_to_score_stands_on_both_crops(finished: tuple[RunFolder, Outcome]) -> None:
    run, outcome = finished
    assert methods_of(outcome) == METHODS
    assert load_model(run.model_path)[0].crops == 2
    assert load_svm(run.svm_path).weight.shape == (2, 2 * WIDTH)
    assert load_boxes(run.boxes_path).weight.shape == (2, 4, WIDTH)
    assert Store.open(run.path / "stages/features/val/store").field("features").shape[1] == 2 * WIDTH


def test_the_detector_finds_in_a_picture_what_the_run_found(finished: tuple[RunFolder, Outcome]) -> None:
    run, outcome = finished
    found = load_detector(run.path).detect(read_image(outcome.dataset.record(0).path))
    stored = Store.open(run.path / "stages/detect/val/svm+boxes/store").read(0)
    assert len(stored["scores"])
    np.testing.assert_allclose(found.scores, stored["scores"], atol=2e-2)  # features are stored in half precision


def test_views_of_an_ensemble_vary_the_tight_crop(finished: tuple[RunFolder, Outcome]) -> None:
    run, _ = finished
    config = run.read_config(Config, ["ensemble.paddings=[0]", "ensemble.mirror=true"])
    assert methods_of(run_testing(run, config, ("val",)))[-1] == "ensemble"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["region.wide_padding=2"], "region.wide_padding must be 0 or above padding 2, got 2"),
        (["region.wide_padding=16"], "region.wide_padding must be under half of crop_size 32, got 16"),
        (
            ["region.wide_padding=8", "ensemble.paddings=[8]"],
            "ensemble.paddings must be under region.wide_padding 8, got 8",
        ),
        (["region.fill=grey"], "region.fill must be mean or image, got 'grey'"),
    ],
)
def test_settings_of_the_crops_that_make_no_sense_are_one_line(
    tiny_config_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(Config, tiny_config_path, words)


def test_both_crops_are_shown_and_their_evidence_is_the_svms_score(finished: tuple[RunFolder, Outcome]) -> None:
    run, outcome = finished
    image = read_image(outcome.dataset.record(0).path)
    explanation = explained_as_detected(load_detector(run.path, "engine.precision=fp32"), image)
    svm = load_svm(run.svm_path)
    for seen in explanation.seen:
        assert seen.paddings == (2, 8)
        for (name, score), evidence in zip(seen.best, seen.evidence, strict=True):
            bias = float(svm.bias[explanation.trace.classes.index(name)])
            assert evidence.mean((1, 2)).sum() + bias == pytest.approx(score, rel=1e-3, abs=1e-3)
