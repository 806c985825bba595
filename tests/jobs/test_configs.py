"""The project's configs run through all stages, on little data and with a shortened schedule."""

from pathlib import Path

import pytest
import torch

from detector.commands import split_val
from detector.config import Config, load_config
from detector.jobs.outcome import Outcome
from detector.jobs.train_detector import run_training
from detector.networks.backbones import make_backbone
from detector.networks.multibox import MultiBox
from detector.networks.warp import IMAGENET
from detector.networks.weight_files.multibox_weights import save_multibox
from detector.runs.folder import RunFolder
from detector.runs.store import Store
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
    words += ["proposals.min_side=5", "proposals.width=100", "network.variant=tiny"]
    config = load_config(Config, CONFIGS / "ilsvrc_det.yaml", [*SHORT, *words])
    outcome = run_training(RunFolder(tmp_path / "run"), config)
    assert outcome.report is not None
    assert len(outcome.report.ap) == 200


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Outcome]:
    """The entry's config as docs/ilsvrc.md runs it, with two members, on a few images of three classes."""
    folder = tmp_path_factory.mktemp("entry")
    root = folder / "tree"
    make_dataset(root, images=6, classes=3, seed=0, val=12, exhaustive=0.3, mean_width=100)
    data = [f"data.root={root}", "data.classes=synsets.csv"]
    for split in ("val", "val1", "val12"):
        split_val.main([str(CONFIGS / "ilsvrc_det.yaml"), "--split", split, *data])
    priors = torch.tensor([[0.1, 0.1, 0.5, 0.5], [0.4, 0.4, 0.9, 0.9], [0.2, 0.3, 0.9, 0.6]])
    save_multibox(folder / "multibox.safetensors", MultiBox(make_backbone("tiny"), "learned", priors), IMAGENET)
    words = [f"proposals.multibox.weights={folder / 'multibox.safetensors'}", "proposals.multibox.scales=[1]"]
    words += ["proposals.min_side=5", "network.variant=tiny", "network.weights=null", "context.image=[best]"]
    words += ["region.crop_size=32", "region.padding=2", "ensemble.members=2", "svm.images=4"]
    words += ["engine.backend=torch", "engine.workers=0", "evaluate.resamples=2"]
    config = load_config(Config, CONFIGS / "ilsvrc_entry.yaml", [*SHORT, *data, *words])
    run = RunFolder(folder / "run")
    return run, run_training(run, config)


def test_the_entry_runs_whole_on_a_synthetic_tree(entry: tuple[RunFolder, Outcome]) -> None:
    run, outcome = entry
    assert outcome.reports is not None
    assert list(outcome.reports.all) == ["softmax", "svm", "ensemble", "context"]
    assert all((run.member(number).svm_path).is_file() for number in range(2))
    assert not run.boxes_path.exists()


def test_the_entry_learns_context_on_what_no_model_was_trained_on(entry: tuple[RunFolder, Outcome]) -> None:
    run, _ = entry
    config = run.read_config(Config, [])
    lists = config.data.root / "ImageSets/DET"
    parts = {name: set((lists / f"{name}.txt").read_text().split()[::2]) for name in ("val11", "val121", "val122")}
    assert [len(images) for images in parts.values()] == [3, 2, 1]
    assert set.union(*parts.values()) == set((lists / "val1.txt").read_text().split()[::2])
    assert len(Store.open(run.path / "stages/context_rows/val122/store")) == 1


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
@pytest.mark.parametrize(("name", "mode"), [("fruit", "shared"), ("fruit_crops", "warp")])
def test_the_fruit_configs_run_on_real_photographs(name: str, mode: str, shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "fruit"
    words = [f"data.root={root}", f"network.weights={shared / 'weights' / 'bvlc_googlenet.npz'}"]
    config = load_config(Config, CONFIGS / f"{name}.yaml", [*SHORT, *words, "region.shared_images=2"])
    assert config.region.mode == mode
    outcome = run_training(RunFolder(tmp_path / "run"), config)
    assert outcome.report is not None
    assert outcome.dataset.classes.names == ("apple", "banana", "orange")
    assert len(outcome.dataset) == 60
