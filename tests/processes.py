"""Commands in processes of their own, to be killed or to work together.

They are forked from a process that has loaded what they need, once for all: each is at work in no time, and a
signal ends it as it ends a program that was started by hand.
"""

import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detector.commands import run

PATIENCE = 120.0  # seconds
LOADED = [
    *(f"detector.commands.{name}" for name in ("train_det", "train_cls", "train_multibox", "propose")),
    *("albumentations", "pycocotools.mask", "torch._dynamo"),  # what they load when they need it, in seconds
]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(LOADED)


class Command:
    """`detector WORDS` at work in a process of its own; the variables are set there alone."""

    def __init__(self, words: Sequence[str], **variables: str) -> None:
        file, path = tempfile.mkstemp(prefix="said-")
        os.close(file)
        self.output = Path(path)
        self.process = FORKS.Process(target=_work, args=(list(words), variables, path))
        self.process.start()

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self.process.pid is not None
        return self.process.pid

    def is_at_work(self) -> bool:
        """Whether it has not ended."""
        return self.process.is_alive()

    def status(self) -> int:
        """Wait for its end: the exit status, or the signal that ended it, below 0."""
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None, f"at work for {PATIENCE} s"
        return self.process.exitcode

    def said(self) -> str:
        """What it has written on stdout and stderr."""
        return self.output.read_text()

    def kill(self) -> None:
        """End it while it is at work so that it can do nothing about it."""
        self.process.kill()
        assert self.status() == -signal.SIGKILL

    def close(self) -> None:
        """Leave nothing of it behind."""
        self.process.kill()
        self.process.join(PATIENCE)
        self.output.unlink()


@contextmanager
def started(words: Sequence[str], processes: int = 1) -> Iterator[list[Command]]:
    """`detector WORDS` on so many processes of one group, by rank, as `torchrun` starts them."""
    commands: list[Command] = []
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(processes)}
    try:
        for rank in range(processes):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(processes)}
            commands.append(Command(words, **(group | place if processes > 1 else {})))
        yield commands
    finally:
        for command in commands:
            command.close()


def finish(words: Sequence[str], processes: int = 1) -> list[str]:
    """What `detector WORDS` says, by rank; it must end well."""
    with started(words, processes) as commands:
        for command in commands:
            assert command.status() == 0, command.said()[-2000:]
        return [command.said() for command in commands]


def status_of(code: str) -> int | None:
    """The exit status of a program that has loaded what commands load at once; None where it does not end."""
    process = FORKS.Process(target=exec, args=(code, {"__name__": "__main__"}))
    process.start()
    process.join(PATIENCE)
    process.kill()
    return process.exitcode


def wait_until_written(command: Command, folder: Path, pattern: str) -> None:
    """Wait until a file `pattern` is in `folder`; the command that writes it must not end before."""
    deadline = time.monotonic() + PATIENCE
    while not any(folder.glob(pattern)):
        assert command.is_at_work(), command.said()[-2000:]
        assert time.monotonic() < deadline, f"no {pattern} in {PATIENCE} s"
        time.sleep(0.002)


def kill_once_written(words: Sequence[str], path: Path) -> None:
    """Start `detector WORDS` and kill it as soon as it has written `path`."""
    with started(words) as (command,):
        wait_until_written(command, path.parent, path.name)
        command.kill()


def metrics_without_times(run: Path) -> dict[str, Any]:
    """The numbers of a run's report, without the seconds that its stages took."""
    tree: dict[str, Any] = json.loads((run / "report" / "metrics.json").read_text())
    tree.pop("seconds")
    return tree


def _work(words: list[str], variables: dict[str, str], output: str) -> None:
    """The command, in its process."""
    os.environ.update(variables)
    multiprocessing.set_start_method(None, force=True)  # its own workers start as those of any program
    with Path(output).open("wb", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(run(words[0], words[1:]))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
