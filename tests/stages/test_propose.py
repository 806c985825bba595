import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import Command, finish, started, wait_until_written

from detector.errors import DataError
from detector.runs.lock import LOCK, FolderLock
from detector.synthetic.detection_set import make_dataset

ROOT = Path(__file__).parents[2]
SETTINGS = ["proposals.width=150", "proposals.superpixel_scale=4", "engine.workers=1"]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "--")
IMAGES = 150  # two shards of a store for one process, and the rest for the other
FILES = ("boxes.npy", "scores.npy", "offsets.npy", "manifest.json")
STORE = "stages/propose/val/store"


@pytest.fixture(scope="module")
def config_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    make_dataset(folder / "tree", images=1, classes=2, seed=0, val=IMAGES, mean_width=64)
    path = folder / "many.yaml"
    path.write_text(f"data: {{root: {folder / 'tree'}, classes: synsets.csv}}\n")
    return path


def command(config_path: Path, run: Path) -> list[str]:
    return ["propose", str(config_path), *SETTINGS, "--split", "val", "--run", str(run)]


@pytest.fixture(scope="module")
def whole(config_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    finish(command(config_path, run))
    return run / STORE


def assert_same_store(one: Path, two: Path) -> None:
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def written(run: Path) -> int:
    """The bytes of a store that is not whole."""
    return sum(path.stat().st_size for path in (run / STORE / "parts").glob("[!.]*"))


def kill_after_progress(process: Command, run: Path, pause: float) -> None:
    """Kill a job once it has written more than was there, and a while later."""
    before = written(run)
    while written(run) == before:
        assert process.is_at_work(), process.said()
        time.sleep(0.002)
    time.sleep(pause)
    process.kill()


def test_a_job_killed_again_and_again_ends_with_its_store(config_path: Path, whole: Path, tmp_path: Path) -> None:
    draw = random.Random(0)
    for _ in range(4):
        with started(command(config_path, tmp_path)) as (process,):
            kill_after_progress(process, tmp_path, draw.uniform(0, 0.1))
    finish(command(config_path, tmp_path))
    assert_same_store(tmp_path / STORE, whole)


def refusal(folder: Path) -> str | None:
    """What keeps this process out of the folder."""
    try:
        with FolderLock(folder) as lock:
            lock.take()
    except DataError as error:
        return str(error)
    return None


def test_what_is_left_of_a_group_keeps_the_next_out(config_path: Path, tmp_path: Path) -> None:
    words = command(config_path, tmp_path)
    with started(words, processes=2) as ranks:
        wait_until_written(ranks[0], tmp_path / STORE / "parts", "*")
        for rank in ranks:
            os.kill(rank.pid, signal.SIGSTOP)  # at work, but not to its end
        tool = [str(ROOT / "tools" / "propose.py"), *words[1:]]
        again = subprocess.run([*TORCHRUN, *tool], capture_output=True, text=True, timeout=300)
        assert again.returncode
        (line,) = (line for line in again.stderr.splitlines() if line.startswith("propose: "))
        assert f"{tmp_path} must be free, got process {ranks[0].pid} on" in line
        for killed, left in ((ranks[0], f"got process {ranks[1].pid} on"), (ranks[1], None)):
            killed.kill()
            while f"process {killed.pid} on" in (refused := refusal(tmp_path) or ""):  # its threads end one by one
                time.sleep(0.01)
            assert left in refused if left else not refused
    assert not (tmp_path / LOCK).exists()


def test_two_processes_make_the_store_of_one(config_path: Path, whole: Path, tmp_path: Path) -> None:
    said = finish(command(config_path, tmp_path), processes=2)
    assert [text.count(f"regions of {IMAGES} images") for text in said] == [1, 0]
    assert_same_store(tmp_path / STORE, whole)
