"""Proposal methods by their names: what they read, when they are refused, and one from outside."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import side_by_side

from detector.choices import PROPOSAL_METHODS
from detector.config import Config, EngineSettings, ProposalSettings, parse_config
from detector.errors import ConfigError
from detector.inference.proposer import open_proposer, proposal_method
from detector.runs.folder import RunFolder
from detector.runs.keys import key_of
from detector.runs.split import open_split
from detector.runs.store import read_proposals
from detector.stages.propose import proposal_reads, run_propose


def settings(source: str, **others: Any) -> ProposalSettings:
    return ProposalSettings.model_validate({"source": source, **others})


@pytest.mark.parametrize(
    ("source", "name"), [("multibox", "multibox.weights"), ("union", "multibox.weights"), ("given", "given")]
)
def test_a_method_without_its_file_is_told_when_the_settings_are_read(source: str, name: str) -> None:
    wanted = rf"^proposals\.{name} must be a file for source {source}, got none \(here\)$"
    with pytest.raises(ConfigError, match=wanted):
        parse_config(Config, {"proposals": {"source": source}}, "here")
    gone = settings("selective_search").model_copy(update={"source": source})
    assert proposal_method(source).files(gone) == {name: None}


def test_settings_are_read_without_torch() -> None:
    code = (
        "import sys; from detector.config import ProposalSettings; "
        "ProposalSettings(source='union', multibox={'weights': 'x'}); "
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_file_for_the_images_of_a_data_set_proposes_nothing_in_new_ones() -> None:
    wanted = "^proposals.source must be selective_search, multibox or union to detect in new images, got given$"
    with pytest.raises(ConfigError, match=wanted):
        open_proposer(settings("given", given="x.npz"), EngineSettings(), seed=0)


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setitem(PROPOSAL_METHODS, "toy", "toy_proposals")
    objects = [("cat", (2, 2, 20, 30))]
    root = side_by_side(tmp_path / "data", "train", a=objects, b=objects, c=objects)
    tree = {"data": {"format": "voc", "root": str(root)}, "proposals": {"source": "toy", "max_boxes": 3}}
    return parse_config(Config, tree, "here")


def test_a_method_from_outside_proposes_for_a_data_set(toys: Config, tmp_path: Path) -> None:
    (tmp_path / "data" / "train" / "b.jpg").write_bytes(b"no image")
    lenient = toys.model_copy(update={"data": toys.data.model_copy(update={"bad_images": "skip"})})
    split = open_split(lenient.data, ["train"])
    (tmp_path / "data" / "train" / "c.jpg").write_bytes(b"no image any more")
    stage = RunFolder(tmp_path / "run").stage("propose", "train")
    store = run_propose(stage, split, toys.proposals, toys.engine, toys.seed)
    assert np.diff(store.offsets).tolist() == [3, 0]
    found = read_proposals(store, 0)
    assert {tuple(box) for box in found.boxes.tolist()} <= {
        (0, 0, 30, 20),
        (30, 0, 60, 20),
        (0, 20, 30, 40),
        (30, 20, 60, 40),
    }
    assert (np.diff(found.scores) <= 0).all()


def test_a_method_from_outside_has_a_key_of_its_own(toys: Config) -> None:
    search = toys.proposals.model_copy(update={"source": "selective_search"})
    reads = [proposal_reads(each, toys.engine) for each in (toys.proposals, search)]
    assert key_of(reads[0]) != key_of(reads[1])
    assert (reads[0]["files"], reads[0]["precision"]) == ({}, None)


def test_the_contents_of_a_method_s_files_count_and_not_their_place(toys: Config, tmp_path: Path) -> None:
    def key(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        given = settings("given", given=str(tmp_path / name))
        return key_of(proposal_reads(given, toys.engine))

    assert key("a.npz", b"1") == key("b.npz", b"1")
    assert key("a.npz", b"1") != key("a.npz", b"2")


def test_an_unknown_method_is_told_with_those_there_are() -> None:
    wanted = r"^proposals\.source must be selective_search, multibox, union or given, got 'toy' \(here\)$"
    with pytest.raises(ConfigError, match=wanted):
        parse_config(Config, {"proposals": {"source": "toy"}}, "here")
