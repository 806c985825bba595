"""The project's configs run through all stages, on little data and with a shortened schedule."""

from pathlib import Path

import pytest

from detector.config import Config, load_config
from detector.jobs.train_detector import run_training
from detector.runs.folder import RunFolder
from detector.synthetic.detection_set import make_dataset

CONFIGS = Path(__file__).parents[2] / "configs"
SHORT = [
    "finetune.steps=2",
    "finetune.batch_size=8",
    "finetune.positives=2",
    "proposals.max_boxes=10",
    "region.crop_size=64",
    "evaluate.pictures=1",
]


def test_the_full_size_config_runs_on_a_synthetic_tree_of_200_classes(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    make_dataset(root, images=200, classes=200, seed=0, val=10, mean_width=120)
    words = [f"data.root={root}", "data.classes=synsets.csv", "data.blacklist=det_validation_blacklist.txt"]
    words += ["proposals.min_side=5", "network.variant=tiny"]
    config = load_config(Config, CONFIGS / "ilsvrc_det.yaml", [*SHORT, *words])
    outcome = run_training(RunFolder(tmp_path / "run"), config)
    assert outcome.report is not None
    assert len(outcome.report.ap) == 200


@pytest.mark.shared
def test_the_full_size_config_runs_on_real_ilsvrc_images(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "ilsvrc_det_mini"
    weights = shared / "weights" / "bvlc_googlenet.npz"
    words = [f"data.root={root}", "data.train=val", f"network.weights={weights}"]
    config = load_config(Config, CONFIGS / "ilsvrc_det.yaml", [*SHORT, *words])
    outcome = run_training(RunFolder(tmp_path / "run"), config)
    assert len(outcome.dataset) == 60
    assert len(outcome.dataset.classes) == 200


@pytest.mark.shared
def test_the_fruit_config_runs_on_real_photographs(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "fruit"
    words = [f"data.root={root}", f"network.weights={shared / 'weights' / 'bvlc_googlenet.npz'}"]
    config = load_config(Config, CONFIGS / "fruit.yaml", [*SHORT, *words])
    outcome = run_training(RunFolder(tmp_path / "run"), config)
    assert outcome.report is not None
    assert outcome.dataset.classes.names == ("apple", "banana", "orange")
    assert len(outcome.dataset) == 60
