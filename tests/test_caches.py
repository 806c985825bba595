import os
import subprocess
import sys
from pathlib import Path

import pytest

from detector import caches

PACKAGE = Path(caches.__file__).parent
PROGRAM = """
import os
import numpy as np
from detector.caches import settle_caches
from detector.boxes import nms
settle_caches()
print(nms(np.array([[0, 0, 9, 9], [0, 0, 9, 8]], np.float32), np.array([1, 0.5], np.float32), 0.5))
print(os.environ.get("MPLCONFIGDIR"), os.environ.get("TORCH_HOME"))
"""


def run_without_home(folder: Path, home: str) -> subprocess.CompletedProcess[str]:
    """The program as of a user who may write neither home nor package, in `folder`/work."""
    package = folder / "lib" / "detector"
    package.mkdir(parents=True)
    for source in PACKAGE.glob("*.py"):
        (package / source.name).write_bytes(source.read_bytes())
    (package / "__pycache__").touch()  # where no folder can be made, by root neither
    for name in ("work", "temporary"):
        (folder / name).mkdir(exist_ok=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NUMBA_", "XDG_", "MPL", "TORCH"))
    }
    settings = {"HOME": home, "TMPDIR": str(folder / "temporary"), "PYTHONPATH": str(folder / "lib")}
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    return subprocess.run(
        command, cwd=folder / "work", env={**kept, **settings}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("home", "torch_moves"), [("/proc/nobody", False), ("~", True)])
def test_without_a_home_machine_code_is_kept_in_a_folder_of_the_user_s_own(
    tmp_path: Path, home: str, torch_moves: bool
) -> None:
    result = run_without_home(tmp_path, home)
    assert (result.returncode, result.stderr) == (0, "")
    own = tmp_path / "temporary" / f"googlenet-detector-{os.geteuid()}"
    assert result.stdout.splitlines() == ["[0]", f"{own / 'matplotlib'} {own / 'torch' if torch_moves else None}"]
    assert own.stat().st_mode & 0o777 == 0o700
    assert list((own / "numba").rglob("*.nbi"))
    assert not list((tmp_path / "work").iterdir())


def test_a_folder_that_others_may_write_is_not_used_and_code_is_made_anew(tmp_path: Path) -> None:
    own = tmp_path / "temporary" / f"googlenet-detector-{os.geteuid()}"
    own.mkdir(parents=True)
    own.chmod(0o777)
    result = run_without_home(tmp_path, "/proc/nobody")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["[0]", "None None"]
    assert not list(own.iterdir())


def test_a_link_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"googlenet-detector-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(caches.tempfile, "gettempdir", lambda: str(tmp_path))
    assert caches.stand_in.__wrapped__("numba") is None


def test_a_home_that_can_be_written_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert caches.user_folder.__wrapped__() == tmp_path / "cache"
