import errno
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from detector import jit

SOURCE = """
from detector.jit import njit

@njit(nogil=True)
def double(number):
    return 2 * number
"""


def load(path: Path) -> ModuleType:
    """The module in the file, loaded anew."""
    spec = importlib.util.spec_from_file_location("doubled", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jit.SETTINGS, "CACHE_DIR", str(tmp_path / "kept"))
    path = tmp_path / "doubled.py"
    path.write_text(SOURCE)
    return path


def test_machine_code_is_kept(source: Path) -> None:
    assert load(source).double(21) == 42
    again = load(source).double
    assert again(21) == 42
    assert sum(again.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_kept_file_that_was_cut_short_is_made_anew(source: Path, suffix: str) -> None:
    load(source).double(21)
    for kept in source.parent.rglob(f"*{suffix}"):
        kept.write_bytes(kept.read_bytes()[:40])
    assert load(source).double(21) == 42


def test_a_full_disk_costs_time_alone(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", fail)
    assert load(source).double(21) == 42


def test_a_cache_that_cannot_be_written_is_none(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "can_write", lambda folder: False)
    monkeypatch.setattr(jit, "user_folder", lambda: None)
    monkeypatch.setattr(jit, "stand_in", lambda name: None)
    assert load(source).double(21) == 42
    assert not list(source.parent.rglob("*.nb*"))
