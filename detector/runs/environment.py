"""The environment of a run: versions, commit and hardware."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from detector.networks.device import cpu_fact

PACKAGES = (
    "googlenet-detector",
    "torch",
    "torchvision",
    "numpy",
    "numba",
    "opencv-python",
    "albumentations",
    "pycocotools",
)


def environment() -> dict[str, Any]:
    """Versions, commit and hardware of this process."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    accelerators = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": cpu_fact("model name") or platform.processor() or "unknown",
        "threads": torch.get_num_threads(),
        "accelerators": accelerators,
        "commit": _commit(),
        "packages": versions,
    }


def environment_notes() -> dict[str, str]:
    """`environment()` as lines of a report."""
    facts = environment()
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    processors = ", ".join([facts["processor"], *facts["accelerators"]])
    return {
        "Commit": facts["commit"],
        "Hardware": f"{processors}; {facts['threads']} threads",
        "Software": f"Python {facts['python']}, {packages}",
    }


def _commit() -> str:
    """The commit of the source tree this code runs from, "unknown" outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
