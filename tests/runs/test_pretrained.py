"""Weights of a config by name: looked up where they are read, and written as they were given."""

from dataclasses import replace
from pathlib import Path

import pytest
from bvlc_like import write_bvlc_like

from detector.config import Config, NetworkSettings, dump_config
from detector.errors import DataError
from detector.networks.weight_files.safetensors_files import state_hash
from detector.networks.weight_files.sources import SOURCES
from detector.networks.weight_files.weights import read_weights
from detector.runs.pretrained import fetch_weights, start_of, weights_file, weights_name

BVLC = Path("bvlc")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch hub's cache with weights that pass for the published ones."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path = write_bvlc_like(folder / "bvlc_googlenet.npz")
    published = replace(SOURCES["bvlc"], values=state_hash(read_weights(path).state))
    monkeypatch.setitem(SOURCES, "bvlc", published)
    return path


def test_a_name_stays_in_the_settings_and_its_file_is_found(cached: Path) -> None:
    config = Config(network=NetworkSettings(variant="paper", weights=BVLC))
    fetch_weights(config, download=False)
    assert weights_file(config.network.weights) == cached
    assert "weights: bvlc\n" in dump_config(config)
    assert str(cached.parent) not in dump_config(config)
    assert weights_name(BVLC) == "bvlc_googlenet.caffemodel"


def test_a_path_is_itself_and_none_is_none() -> None:
    assert weights_file(Path("a/b.npz")) == Path("a/b.npz")
    assert weights_file(None) is None
    assert weights_name(Path("a/b.npz")) == "b.npz"


@pytest.mark.parametrize("section", ["network", "context", "cascade"])
def test_a_name_whose_file_is_missing_is_told_before_any_work(cached: Path, section: str) -> None:
    cached.unlink()
    config = Config.model_validate({section: {"weights": "bvlc"}})
    with pytest.raises(DataError, match=r"^weights bvlc must be at .*, got no such file: put https://"):
        fetch_weights(config, download=False)


def test_a_network_starts_with_the_published_weights_of_its_kind(cached: Path) -> None:
    assert start_of({}, download=False) == {"weights": "bvlc"}
    assert start_of({"variant": "paper"}, download=False) == {"weights": "bvlc"}
    assert start_of({"variant": "tiny"}, download=False) == {}  # nobody has published any
    assert start_of({"weights": "mine.pth"}, download=False) == {}
    assert start_of({"weights": None}, download=False) == {"variant": "paper_bn"}
    cached.unlink()
    with pytest.raises(DataError, match=r"add --download; network\.weights=null does without"):
        start_of({}, download=False)
    with pytest.raises(DataError, match=r"weights resnet50 must be at .*add --download"):
        start_of({"variant": "resnet50"}, download=False)
