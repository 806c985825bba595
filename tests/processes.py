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


def kill_once_written(command: Sequence[str], path: Path) -> None:
    """Start `command` and kill it as soon as it has written `path`."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not path.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def metrics_without_times(run: Path) -> dict[str, Any]:
    """The numbers of a run's report, without the seconds that its stages took."""
    tree: dict[str, Any] = json.loads((run / "report" / "metrics.json").read_text())
    tree.pop("seconds")
    return tree
