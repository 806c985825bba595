"""Run folders of detectors that nobody trained, for tests of what is done with a finished run."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from random_networks import randomise, settle

from detector.config import Config, dump_config, load_config
from detector.inference.detector import ObjectDetector
from detector.jobs.load_detector import load_detector
from detector.jobs.outcome import Outcome
from detector.networks.backbones import make_backbone
from detector.networks.heads import BoxHead, SvmHead, save_head
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.weights import save_model
from detector.runs.folder import RunFolder

CLASSES = ("cat", "dog")
SETTINGS = """
name: made
data: {format: voc, root: nowhere}
proposals: {superpixel_scale: 8, width: 160, max_boxes: 40}
region: {crop_size: 32, padding: 2}
network: {variant: tiny}
engine: {device: cpu, backend: torch, precision: fp32, workers: 0}
detect: {min_score: 0, min_svm_score: -100, max_per_image: 20}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with a network and no heads."""
    return write_run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="module")
def loaded(made: RunFolder) -> ObjectDetector:
    """Its detector."""
    return load_detector(made.path)


def methods_of(outcome: Outcome) -> list[str]:
    """The ways to score that a test reports, in their order."""
    return list(outcome.reports.all) if outcome.reports else []


def write_run(folder: Path, *overrides: str, classes: Sequence[str] = CLASSES) -> RunFolder:
    """A run with the files that its settings ask for: a random network, and random heads."""
    settings = folder / "settings.yaml"
    folder.mkdir(parents=True)
    settings.write_text(SETTINGS)
    config = load_config(Config, settings, overrides)
    settings.unlink()
    run = RunFolder(folder)
    run.begin(config)
    network = RegionClassifier(make_backbone("tiny"), len(classes) + 1)
    randomise(network)
    settle(network, config.region.crop_size)
    region = config.region.model_dump()
    facts = {"classes": list(classes), "region": region, "config": dump_config(config)}
    save_model(run.model_path, network, network.backbone.facts.preprocessing, **facts)
    if config.svm.enabled or config.boxes.enabled:
        _write_heads(run, len(classes), network.width)
    return run


def _write_heads(run: RunFolder, count: int, width: int) -> None:
    """Random SVMs, and box regressors that move boxes a little."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(count, width, generator=generator)
    save_head(run.svm_path, SvmHead(weight, torch.zeros(count)))
    moves = torch.randn(count, 4, width, generator=generator) * 1e-3
    save_head(run.boxes_path, BoxHead(moves, torch.full((count, 4), 0.02), 1))
