"""A finished run in which a file is damaged, and the same command again: the same results, or one line."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from fuzz.conftest import run_command, tries
from mutations import damaged_bytes, damaged_json, damaged_text
from processes import metrics_without_times

from detector import commands
from detector.synthetic.detection_set import make_dataset

SETTINGS = """
data: {root: ROOT, train: train, test: val, classes: synsets.csv}
proposals: {superpixel_scale: 8, width: 160, max_boxes: 20}
region: {crop_size: 32, padding: 2}
network: {variant: tiny}
finetune: {steps: 2, batch_size: 8, positives: 2, checkpoint_every: 1, log_every: 1}
svm: {enabled: true}
boxes: {enabled: true}
engine: {device: cpu, backend: torch, precision: fp32, workers: 0}
detect: {min_score: 0, max_per_image: 5}
evaluate: {pictures: 1}
"""
TEXTS = {".json", ".jsonl", ".yaml", ".csv"}
# results that are only looked at, or made anew by every command
UNREAD = {"index.html", "report.md", "environment.json", "config.yaml", "classes.csv"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, its data and a finished run."""
    folder = tmp_path_factory.mktemp("fuzzed")
    make_dataset(folder / "data", images=6, classes=2, seed=0, val=2, mean_width=120)
    (folder / "c.yaml").write_text(SETTINGS.replace("ROOT", str(folder / "data")))
    assert commands.main(["train_det", str(folder / "c.yaml"), "--run", str(folder / "run")]) == 0
    return folder


def damage(path: Path, draw: random.Random) -> None:
    """Bytes, or the text of a file that holds one."""
    content = path.read_bytes()
    if path.suffix not in TEXTS or draw.random() < 0.3:
        path.write_bytes(damaged_bytes(content, draw))
        return
    change = damaged_json if path.suffix == ".json" else damaged_text
    path.write_bytes(change(content.decode(), draw).encode("utf-8", "surrogatepass"))


def results(run: Path) -> dict[str, Any]:
    """What the run found, and its models."""
    models = {path.name: path.read_bytes() for path in sorted((run / "model").iterdir())}
    return {"metrics": metrics_without_times(run), **models}


@tries(10)
def test_a_run_with_a_damaged_file_ends_with_the_same_results_or_one_line(
    seed: int, finished: Path, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    run = tmp_path / "run"
    shutil.copytree(finished / "run", run)
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name not in UNREAD]
    path = draw.choice(files)
    damage(path, draw)
    if draw.random() < 0.5:  # as if it had been killed before it was finished
        manifests = [path for path in sorted(run.rglob("stage.json")) if is_tree(path)]
        unfinished = draw.choice(manifests)
        tree = json.loads(unfinished.read_text())
        unfinished.write_text(json.dumps({**tree, "done": False}))
    told = run_command("train_det", str(finished / "c.yaml"), "--run", str(run))
    assert told.status in (0, 2)
    if told.status == 0:
        assert results(run) == results(finished / "run"), path.relative_to(run)


def is_tree(path: Path) -> bool:
    """Whether the file still holds a JSON object."""
    try:
        return isinstance(json.loads(path.read_text()), dict)
    except ValueError:
        return False
