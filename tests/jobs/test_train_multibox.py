from pathlib import Path

import numpy as np
import pytest
import torch
from processes import finish, kill_once_written

from detector.boxes import box_iou
from detector.config import Config, MultiBoxConfig, ProposalSettings, load_config
from detector.data.readers import open_dataset
from detector.jobs.train_multibox import run_multibox
from detector.networks.weight_files.multibox_weights import load_multibox
from detector.runs.folder import RunFolder
from detector.runs.split import open_split
from detector.runs.store import Store, read_proposals
from detector.stages.multibox_trainer import fit_priors
from detector.stages.propose import run_propose

TINY = """
data: {{root: {root}, train: train, test: val, classes: synsets.csv, blacklist: det_validation_blacklist.txt}}
network: {{variant: tiny}}
multibox: {{form: learned, priors: 8, photometric: 0.2, bootstrap_start: 0}}
train: {{steps: 4, batch_size: 4, learning_rate: 0.001, warmup: 0, average: ema, checkpoint_every: 1}}
propose: {{scales: [1]}}
engine: {{device: cpu, backend: torch, precision: fp32, workers: 0}}
"""


@pytest.fixture(scope="module")
def config_path(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("multibox") / "tiny_multibox.yaml"
    path.write_text(TINY.format(root=tiny_data))
    return path


@pytest.fixture(scope="module")
def config(config_path: Path) -> MultiBoxConfig:
    return load_config(MultiBoxConfig, config_path)


@pytest.fixture(scope="module")
def finished(config: MultiBoxConfig, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    assert run_multibox(run, config) is not None
    return run


def with_proposals(config: Config, **settings: object) -> Config:
    proposals = ProposalSettings.model_validate({**config.proposals.model_dump(), **settings})
    return config.model_copy(update={"proposals": proposals})


def proposals_of(config: Config, folder: Path, **settings: object) -> Store:
    split = open_split(config.data, config.data.test)
    proposals = with_proposals(config, **settings).proposals
    return run_propose(RunFolder(folder).stage("propose", "val"), split, proposals, config.engine, config.seed)


def test_a_run_ends_with_a_network_and_the_proposals_of_the_test_split(
    finished: RunFolder, config: MultiBoxConfig
) -> None:
    network, _ = load_multibox(finished.multibox_path)
    training = open_dataset(config.data, config.data.train)
    np.testing.assert_array_equal(network.priors.numpy(), fit_priors(config, training))
    assert len(Store.open(finished.path / "stages/propose/val/store")) == 4
    header = (finished.path / "metrics.csv").read_text().splitlines()[0]
    assert header == ("step,loss,match_loss,confidence_loss,object_confidence,learning_rate,images_per_second")


def test_a_killed_training_resumes_to_the_very_same_weights(
    finished: RunFolder, config_path: Path, tmp_path: Path
) -> None:
    killed = RunFolder(tmp_path / "run")
    checkpoint = killed.path / "stages" / "train" / "present" / "last.pt"
    command = ["train_multibox", str(config_path), "--run", str(killed.path)]
    kill_once_written(command, checkpoint)
    assert not killed.multibox_path.exists()
    (said,) = finish([*command, "engine.workers=1"])
    assert str(killed.multibox_path) in said
    mine, theirs = (load_multibox(run.multibox_path)[0].state_dict() for run in (killed, finished))
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


def test_a_union_holds_what_either_source_proposes(
    finished: RunFolder, tiny_config: Config, tmp_path: Path
) -> None:
    given = {"multibox": {"weights": finished.multibox_path, "boxes": 5}}
    searched = proposals_of(tiny_config, tmp_path / "search")
    boxed = proposals_of(tiny_config, tmp_path / "boxes", source="multibox", **given)
    union = proposals_of(tiny_config, tmp_path / "union", source="union", duplicate_iou=0.9, **given)
    for position in range(4):
        found = read_proposals(union, position)
        parts = [read_proposals(store, position).boxes for store in (searched, boxed)]
        assert 0 < len(parts[1]) <= 5
        overlap = box_iou(np.concatenate(parts), found.boxes)
        assert overlap.max(1).min() >= 0.9 - 1e-6  # each is there, or one much like it
        assert overlap.max(0).min() > 1 - 1e-6  # and nothing else
        assert (np.diff(found.scores) < 0).all()


def test_another_network_makes_other_proposals_necessary(
    finished: RunFolder, tiny_config: Config, tmp_path: Path
) -> None:
    settings = {"weights": finished.multibox_path, "scales": (1,)}
    proposals_of(tiny_config, tmp_path, source="multibox", multibox=settings)
    log = tmp_path / "log.jsonl"
    proposals_of(tiny_config, tmp_path, source="multibox", multibox=settings)
    assert log.read_text().count("stage begun") == 1
    proposals_of(tiny_config, tmp_path, source="multibox", multibox={**settings, "boxes": 3})
    assert log.read_text().count("stage begun") == 2


def test_the_user_s_own_proposals_are_taken(tiny_config: Config, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_config.data, tiny_config.data.test)
    boxes = np.array([[5, 5, 60, 60], [10, 10, 30, 40]], np.float32)
    path = tmp_path / "own.npz"
    np.savez(path, image_ids=dataset.image_ids[:1], offsets=np.array([0, 2]), boxes=boxes)
    store = proposals_of(tiny_config, tmp_path / "run", source="given", given=path)
    np.testing.assert_array_equal(read_proposals(store, 0).boxes, boxes)
    assert np.diff(store.offsets).tolist() == [2, 0, 0, 0]
