import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from processes import kill, processes_of, start_until_written

from detector.errors import DataError
from detector.runs.lock import LOCK, FolderLock
from detector.synthetic.detection_set import make_dataset

ROOT = Path(__file__).parents[2]
SETTINGS = ["proposals.width=300", "proposals.superpixel_scale=4", "engine.workers=1"]
LAUNCHER = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
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


def refusal(folder: Path) -> str | None:
    """What keeps this process out of the folder."""
    try:
        with FolderLock(folder) as lock:
            lock.take()
    except DataError as error:
        return str(error)
    return None


def test_what_is_left_of_a_group_keeps_the_next_out(config_path: Path, tmp_path: Path) -> None:
    words = command(config_path, tmp_path, *LAUNCHER)
    launcher = start_until_written(words, tmp_path, "stages/propose/val/store/parts/*")
    ranks = processes_of(launcher.pid)
    try:
        for rank in ranks:
            os.kill(rank, signal.SIGSTOP)  # at work, but not to its end
        kill(launcher)
        again = subprocess.run(words, capture_output=True, text=True, env=ONE_THREAD)
        assert again.returncode
        (line,) = (line for line in again.stderr.splitlines() if line.startswith("propose: "))
        assert f"{tmp_path} must be free, got process {ranks[0]} on" in line
        for killed, left in ((ranks[0], f"got process {ranks[1]} on"), (ranks[1], None)):
            os.kill(killed, signal.SIGKILL)
            while f"process {killed} on" in (refused := refusal(tmp_path) or ""):  # its threads end one by one
                time.sleep(0.01)
            assert left in refused if left else not refused
    finally:
        for rank in ranks:
            with suppress(ProcessLookupError):
                os.kill(rank, signal.SIGKILL)
    assert not (tmp_path / LOCK).exists()


def test_two_processes_make_the_store_of_one(config_path: Path, whole: Path, tmp_path: Path) -> None:
    words = command(config_path, tmp_path, *LAUNCHER)
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=ONE_THREAD)
    assert done.stdout.count("regions of 200 images") == 1
    assert_same_store(tmp_path / "stages/propose/val/store", whole)
