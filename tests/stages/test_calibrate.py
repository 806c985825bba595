"""The ranges of a run's maps, and the run in int8."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from made_runs import write_run

from detector import load_detector
from detector.config import Config
from detector.data.classes import read_classes
from detector.errors import ConfigError
from detector.jobs.test_detector import run_testing
from detector.jobs.ways_to_score import calibrate_models
from detector.networks.backbones import backbone_facts
from detector.networks.quantized import ranges_path
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.stages.calibrate import random_regions

INT8 = ["engine.precision=int8", "engine.backend=openvino"]
needs_openvino = pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="needs openvino")


@pytest.fixture
def run(tiny_data: Path, tmp_path: Path) -> RunFolder:
    """A run on the tiny data set."""
    words = {"format": "ilsvrc", "root": tiny_data, "train": "train", "test": "val", "classes": "synsets.csv"}
    classes = read_classes(tiny_data / "synsets.csv").names
    data = [f"data.{name}={value}" for name, value in words.items()]
    return write_run(tmp_path / "run", *data, "region.crop_size=64", "evaluate.pictures=0", classes=classes)


@needs_openvino
def test_a_run_is_tested_in_int8_by_ranges_that_are_measured_once(run: RunFolder) -> None:
    config = run.read_config(Config, INT8)
    assert run_testing(run, config, config.data.test).report is not None
    ranges = ranges_path(run.model_path).read_bytes()
    stage = json.loads((run.stage("detect", "val", "softmax").folder / "stage.json").read_text())
    assert stage["reads"]["scores"]["engine"] == "openvino int8"
    calibrate_models(Job(run, config, alone()))
    assert ranges_path(run.model_path).read_bytes() == ranges
    events = [json.loads(line)["event"] for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert events.count("calibrated") == 1


@needs_openvino
def test_ranges_do_not_depend_on_what_is_tested(run: RunFolder) -> None:
    config = run.read_config(Config, [*INT8, "data.test=train", "detect.min_score=0.5"])
    calibrate_models(Job(run, config, alone()))
    first = ranges_path(run.model_path).read_bytes()
    ranges_path(run.model_path).unlink()
    calibrate_models(Job(run, run.read_config(Config, INT8), alone()))
    assert ranges_path(run.model_path).read_bytes() == first
    assert load_model(run.model_path)[0].ranges == json.loads(first)["ranges"]
    assert tuple(json.loads(first)["ranges"]) == backbone_facts("tiny").rounded


def test_nothing_is_measured_for_floats(run: RunFolder) -> None:
    calibrate_models(Job(run, run.read_config(Config, []), alone()))
    assert not ranges_path(run.model_path).exists()


@needs_openvino
def test_a_detector_that_was_not_measured_cannot_be_in_int8(tmp_path: Path) -> None:
    run = write_run(tmp_path / "made")
    with pytest.raises(
        ConfigError, match="for a network whose maps were not measured, got int8; repair: test_det"
    ):
        load_detector(run.path, *INT8)


def test_random_regions_lie_in_the_image_and_are_of_all_sizes() -> None:
    boxes = random_regions(np.random.default_rng(0), 300, 400, 1000)
    assert boxes.shape == (1000, 4) and boxes.dtype == np.float32
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [400, 300]).all()
    share = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / (300 * 400)
    assert share.min() > 0.009
    assert 0.4 < (share < 0.1).mean() < 0.6
