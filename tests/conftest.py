"""Fixtures that many tests share."""

import gc
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the commands do, before torch is loaded
os.environ.setdefault("OMP_NUM_THREADS", "1")  # each core has a worker already
os.environ["DETECTOR_CACHE"] = ""  # nothing that tests read is kept
pytest_plugins = ["file_order", "made_runs", "plots", "slow_tests", "tiny_runs"]
SHARED = Path(os.environ.get("DETECTOR_SHARED", Path(__file__).parents[2] / "shared"))


def pytest_collection_finish() -> None:
    """Have the garbage collector not look again and again at the thousands of tests, which stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def shared() -> Path:
    """The folder of real photographs, annotations and weights; the test is skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip("no real data beside the project")
    return SHARED
