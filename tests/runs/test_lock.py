"""One process at a time in a folder; the others are processes of their own, which need no torch."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from detector.config import Config
from detector.errors import DataError
from detector.runs import lock as lock_module
from detector.runs.folder import RunFolder
from detector.runs.lock import LOCK, FolderLock, owned

OWNER = """
import sys
sys.argv = ["detector", "train_det", "c.yaml"]
from pathlib import Path
from detector.runs.lock import FolderLock
lock = FolderLock(Path({folder!r}))
lock.take()
print("taken", flush=True)
sys.stdin.read()
"""
# What is left of a group whose first process was killed: the record is of the first, the lock of the byte 1.
ORPHAN = """
import fcntl, json, os, socket, sys
file = os.open({path!r}, os.O_RDWR | os.O_CREAT)
record = dict(process=1, host=socket.gethostname(), since="2026-01-02 03:04:05", command="propose c.yaml")
os.write(file, json.dumps(record).encode())
fcntl.lockf(file, fcntl.LOCK_EX, 1, 1)
print("taken", flush=True)
sys.stdin.read()
"""


@contextmanager
def other_process(script: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that has taken a lock, and ends with the block at the latest."""
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        try:
            yield process
        finally:
            process.kill()


def refusal(folder: Path) -> str:
    with FolderLock(folder) as lock, pytest.raises(DataError) as caught:
        lock.take()
    return str(caught.value)


def test_the_second_is_told_who_is_at_work_since_when(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with other_process(OWNER.format(folder=str(folder))) as owner:
        record = json.loads((folder / LOCK).read_text())
        assert record["process"] == owner.pid
        wanted = f"process {owner.pid} on {record['host']} at work in it since {record['since']}"
        assert refusal(folder) == f"{folder} must be free, got {wanted} (detector train_det c.yaml)"
        assert refusal(folder).startswith(str(folder))  # having looked has not freed it


def test_a_killed_owner_holds_nothing_and_its_file_goes_with_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with other_process(OWNER.format(folder=str(folder))) as owner:
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        assert (folder / LOCK).exists()
        with FolderLock(folder) as lock:
            lock.take()
            assert json.loads((folder / LOCK).read_text())["process"] == os.getpid()
    assert list(folder.iterdir()) == []


def test_a_process_left_of_a_group_keeps_the_next_group_out(tmp_path: Path) -> None:
    with other_process(ORPHAN.format(path=str(tmp_path / LOCK))) as orphan:
        assert f"got process {orphan.pid} on" in refusal(tmp_path)
        assert "since 2026-01-02 03:04:05 (propose c.yaml)" in refusal(tmp_path)
        orphan.kill()
        orphan.wait()
        with owned(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_command_of_any_length_and_letters_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["detector", "detect", *["\udce9ж\n" * 100] * 90])
    with owned(tmp_path):
        record = (tmp_path / LOCK).read_bytes()
        assert len(record) < lock_module.LONGEST_RECORD
        assert json.loads(record)["command"].startswith("detector detect '\\udce9ж")


def test_nothing_is_left_where_nothing_was(tmp_path: Path) -> None:
    with owned(tmp_path / "a" / "b"):
        assert (tmp_path / "a/b" / LOCK).exists()
    assert list(tmp_path.iterdir()) == []
    with owned(tmp_path / "a" / "b"):
        (tmp_path / "a/b/result").touch()
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["result"]


def test_one_process_does_not_work_twice_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with owned(tmp_path / "run"):
        assert "must be free, got this very process at work in it" in refusal(tmp_path / "link")
        script = OWNER.format(folder=str(tmp_path / "run"))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert f"process {os.getpid()} on" in done.stderr  # the lock is still held
    with owned(tmp_path / "run"):
        pass


def test_forked_processes_neither_hold_nor_release_the_lock(tmp_path: Path) -> None:
    with FolderLock(tmp_path) as lock:
        lock.take()
        child = os.fork()
        if not child:
            lock.release()
            os._exit(0)
        os.waitpid(child, 0)
        done = subprocess.run([sys.executable, "-c", OWNER.format(folder=str(tmp_path))], capture_output=True)
        assert b"must be free" in done.stderr


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[1]", b'{"process": ', b"{" * 3000])
def test_a_record_that_says_nothing_is_no_traceback(tmp_path: Path, content: bytes) -> None:
    with other_process(ORPHAN.format(path=str(tmp_path / LOCK))):
        (tmp_path / LOCK).write_bytes(content)
        assert refusal(tmp_path) == f"{tmp_path} must be free, got another process at work in it"


def test_a_file_system_without_locks_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "lockf", no_locks)
        with owned(tmp_path):
            pass
    assert capsys.readouterr().err.splitlines() == [
        f"note: {tmp_path} cannot be locked (No locks available): keep other processes out of it"
    ]
    with monkeypatch.context() as patch:
        patch.setattr(lock_module, "fcntl", None)
        with owned(tmp_path):
            pass
    assert "(this system has none)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "a\0b", "x" * 300])
def test_what_can_be_no_folder_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    assert "must be writable (" in refusal(tmp_path / name)


def test_the_file_of_a_lock_is_never_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / LOCK).symlink_to(tmp_path / "mine.txt")
    assert "must be writable" in refusal(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_who_locks_a_run_finds_no_leftovers(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.begin(Config())
    stage = run.member(1).stage("finetune")
    stage.result(1).begin()
    folders = [run.path, run.path / "model", stage.folder, run.path / "report_val", run.path / "members/1/model"]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        (folder / ".a.pt.abcd_123.tmp").touch()
        (folder / ".tmpAbC123").touch()
    kept = run.path / "export" / ".a.pt.abcd_123.tmp"  # another command may be at work there
    kept.parent.mkdir()
    kept.touch()
    with run.lock() as lock:
        lock.take()
    left = [str(path.relative_to(run.path)) for path in run.path.rglob(".*")]
    assert sorted(left) == [".tmpAbC123", "export/.a.pt.abcd_123.tmp"]
