import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from detector.data.synthetic import make_dataset

ROOT = Path(__file__).parents[2]
SETTINGS = ["proposals.width=300", "proposals.superpixel_scale=4", "engine.workers=1"]
FILES = ("boxes.npy", "scores.npy", "offsets.npy", "manifest.json")


@pytest.fixture(scope="module")
def config_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    make_dataset(folder / "tree", images=1, classes=2, seed=0, val=200, mean_width=120)
    path = folder / "many.yaml"
    path.write_text(f"data: {{root: {folder / 'tree'}, classes: synsets.csv}}\n")
    return path


def command(config_path: Path, run: Path, *launcher: str) -> list[str]:
    tool = str(ROOT / "tools/propose.py")
    return [sys.executable, *launcher, tool, str(config_path), *SETTINGS, "--split", "val", "--run", str(run)]


@pytest.fixture(scope="module")
def whole(config_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    subprocess.run(command(config_path, run), check=True, capture_output=True)
    return run / "stages/propose/val/store"


def assert_same_store(one: Path, two: Path) -> None:
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_a_job_killed_again_and_again_ends_with_its_store(config_path: Path, whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "stages/propose/val/store"
    draw = random.Random(0)
    kills = 0
    while kills < 5:
        process = subprocess.Popen(
            command(config_path, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not store.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 2.5))
        if process.poll() is not None:  # it ended before its turn to die: from the start again
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 3
    subprocess.run(command(config_path, tmp_path), check=True, capture_output=True)
    assert_same_store(store, whole)


def test_two_processes_make_the_store_of_one(config_path: Path, whole: Path, tmp_path: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--"]
    done = subprocess.run(
        command(config_path, tmp_path, *launcher),
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.count("regions of 200 images") == 1
    assert_same_store(tmp_path / "stages/propose/val/store", whole)
