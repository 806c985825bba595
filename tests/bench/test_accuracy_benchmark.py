import json
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SHORT, LONG = 1e-3, 2.0  # seconds
TICK = 1 / 8  # seconds that seem to pass each time they are asked for; sums of them are exact
PILOT = 4  # steps
PEER_WORDS = [
    "--peer-batch",
    "1",
    "--peer-regions",
    "8",
    "--peer-precision",
    "fp32",
    "--peer-rates",
    "1e-3",
    "2e-3",
]
QUICK = ["evaluate.pictures=0", "evaluate.resamples=2", "finetune.checkpoint_every=100"]


class SmallPyramid(nn.Module):
    """Five maps, as torchvision's anchors want them."""

    out_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, self.out_channels, 5, 4, 2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = {"0": self.conv(images).relu()}
        for name in ("1", "2", "3", "pool"):
            maps[name] = nn.functional.max_pool2d(list(maps.values())[-1], 2, ceil_mode=True)
        return maps


@pytest.fixture
def accuracy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, whose Faster R-CNN has a small backbone."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(import_module("faster_rcnn_peer"), "make_backbone", lambda config: SmallPyramid())
    return import_module("accuracy")


@pytest.fixture
def halves(tiny_data: Path, tmp_path: Path) -> list[str]:
    """Lists of the halves of the validation images."""
    lines = (tiny_data / "ImageSets" / "DET" / "val.txt").read_text().splitlines(keepends=True)
    paths = [tmp_path / "one.txt", tmp_path / "other.txt"]
    for path, part in zip(paths, (lines[:2], lines[2:]), strict=True):
        path.write_text("".join(part))
    return [str(path) for path in paths]


def words(config: Path, out: Path, *further: str) -> list[str]:
    return [str(config), *QUICK, "--out", str(out), "--side", "48", "--pilot", str(PILOT), *further]


@pytest.mark.slow
def test_all_are_trained_for_their_seconds_and_once(
    accuracy: Any, tiny_config_path: Path, halves: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()
    monkeypatch.setattr(accuracy.Task, "clock", lambda task: TICK * next(ticks))  # the same on any machine
    out = tmp_path / "out"
    asked = words(tiny_config_path, out, "--methods", "crops", "shared", "--budgets", str(SHORT), str(LONG))
    asked = [asked[0], f"data.test={halves[1]}", *asked[1:], "--held-out", halves[0]]
    assert accuracy.main(asked) == 0
    rows = json.loads((out / "results.json").read_text())["results"]
    assert [(row["method"], row["budget"]) for row in rows] == [
        (method, budget) for method in ("crops", "shared") for budget in (SHORT, LONG)
    ]
    for short, trained in (rows[:2], rows[2:]):
        assert "too_short" in short
        assert trained["seconds"] > 0
        assert 10 < trained["steps"] <= LONG / TICK * PILOT
        assert trained["parts"].keys() == {"propose/train", "labels/train", "finetune"}
        assert sum(trained["parts"].values()) == pytest.approx(trained["seconds"])
        assert trained["test_seconds"] > 0
        assert 0 <= trained["held_out"]["coco_ap"] <= trained["held_out"]["voc_ap50"] <= 1
        assert 0 <= trained["coco_ap"] <= trained["voc_ap50"] <= 1
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")
    assert len((out / "results.md").read_text().split("\n\n")[1].splitlines()) == 2 + len(rows)
    monkeypatch.setattr(accuracy, "train_method", None)
    assert accuracy.main(asked) == 0
    assert json.loads((out / "results.json").read_text())["results"] == rows


def test_faster_rcnn_trains_at_each_rate_for_its_seconds(
    accuracy: Any, tiny_config_path: Path, tmp_path: Path
) -> None:
    asked = words(tiny_config_path, tmp_path, "--budgets", "0.5", "--methods", "faster_rcnn", *PEER_WORDS)
    assert accuracy.main(asked) == 0
    (row,) = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [each["rate"] for each in row["rates"]] == [1e-3, 2e-3]
    assert row["loss"] == min(each["loss"] for each in row["rates"])
    assert all(each["steps"] >= 1 and 0.45 < each["seconds"] < 4 for each in row["rates"])
    assert 0 <= row["coco_ap"] <= row["voc_ap50"] <= 1
    assert "torchvision's Faster R-CNN at 0.00" in (tmp_path / "results.md").read_text()


def test_doubled_budgets_end_where_they_bring_nothing_twice(
    accuracy: Any, tiny_config_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = {1: 0.2, 2: 0.204, 4: 0.3, 8: 0.302, 16: 0.303, 32: 0.9}

    def train(task: Any, results: Any, method: str, budget: float, seed: int) -> dict[str, float]:
        return {"seconds": budget, "steps": 1, "test_seconds": 0, "voc_ap50": reached[int(budget)], "coco_ap": 0.1}

    monkeypatch.setattr(accuracy, "train_method", train)
    monkeypatch.setattr("accuracy_results.draw", lambda rows, path: None)
    asked = words(tiny_config_path, tmp_path, "--budgets", "1", "--methods", "crops", "--converge")
    assert accuracy.main([*asked, "--most", "4"]) == accuracy.main(asked) == 0
    rows = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [row["budget"] for row in rows] == [1, 2, 4, 8, 16]


def test_results_of_other_settings_are_not_mixed(
    accuracy: Any,
    tiny_config_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--out", str(tmp_path), "--budgets", "1", "--methods", "crops"]
    monkeypatch.setattr(accuracy, "train_method", lambda *task: {"too_short": "for anything"})
    assert accuracy.main([str(tiny_config_path), *asked]) == 0
    assert accuracy.main([str(tiny_config_path), "seed=1", *asked]) == 2
    assert capsys.readouterr().err.endswith(
        f"accuracy: --out must be a folder without results of other settings, got {tmp_path}\n"
    )


def test_what_is_tested_on_is_not_trained_on(
    accuracy: Any, tiny_config_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        accuracy.main([str(tiny_config_path), "data.test=train", "--methods", "crops", "--out", str(tmp_path)])
        == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("accuracy: data.test must hold no image of data.train, got 12, first ")
    assert not list(tmp_path.iterdir())
