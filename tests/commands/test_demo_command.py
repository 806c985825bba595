"""The demo: a set, a run and a report by one word."""

import json
from pathlib import Path

import pytest

from detector import commands
from detector.commands import demo
from detector.config import Config, load_config

ROOT = Path(__file__).parents[2]
QUICK = ["network.variant=tiny", "finetune.steps=2", "region.crop_size=32", "evaluate.resamples=10"]


def test_it_ends_in_a_report_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "IMAGES", 6)
    monkeypatch.setattr(demo, "VAL", 2)
    monkeypatch.setattr(demo, "MEAN_WIDTH", 96.0)
    monkeypatch.chdir(tmp_path)
    words = ["demo", *QUICK, "--data", "a: set", "--run", "out"]  # a name that YAML would take for a mapping
    assert commands.main(words) == 0
    assert len(list((tmp_path / "a: set/Data/DET/train").iterdir())) == 6
    metrics = json.loads((tmp_path / "out/report/metrics.json").read_text())
    assert metrics["images"] == 2
    weights = (tmp_path / "out/model/region_classifier.safetensors").stat().st_mtime_ns
    assert commands.main(words) == 0
    assert (tmp_path / "out/model/region_classifier.safetensors").stat().st_mtime_ns == weights
    assert "8 synthetic images" in capsys.readouterr().out


def test_its_config_is_one_of_the_configs() -> None:
    shown = load_config(Config, ROOT / "configs/demo.yaml")
    assert shown == load_config(Config, demo.CONFIG)


def test_a_wrong_setting_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands.main(["demo", "finetune.stepz=1"]) == 2
    assert "finetune.stepz" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())  # told before any work
