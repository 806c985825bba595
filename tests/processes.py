"""Commands as processes of their own, to be killed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE = 120.0  # seconds


def start_until_written(command: Sequence[str], folder: Path, pattern: str) -> "subprocess.Popen[bytes]":
    """Start `command`; the process once it has written a file `pattern` in `folder`, or has ended."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not any(folder.glob(pattern)) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    return process


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process that is at work so that it can do nothing about it."""
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def kill_once_written(command: Sequence[str], path: Path) -> None:
    """Start `command` and kill it as soon as it has written `path`."""
    kill(start_until_written(command, path.parent, path.name))


def processes_of(launcher: int) -> list[int]:
    """The numbers of the processes that `torchrun` started, by rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    ranks = {}
    for child in map(int, children):
        words = Path(f"/proc/{child}/environ").read_text().split("\0")
        ranks[int(dict(word.partition("=")[::2] for word in words)["RANK"])] = child
    return [ranks[rank] for rank in sorted(ranks)]


def metrics_without_times(run: Path) -> dict[str, Any]:
    """The numbers of a run's report, without the seconds that its stages took."""
    tree: dict[str, Any] = json.loads((run / "report" / "metrics.json").read_text())
    tree.pop("seconds")
    return tree
