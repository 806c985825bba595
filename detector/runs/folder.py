"""The run folder: what was asked for, what was done, and what can be skipped."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from detector.config import Section, dump_config, load_config
from detector.errors import DataError
from detector.files import (
    OWN_LEFTOVER,
    append_text,
    read_json,
    remove_leftovers,
    write_text,
)
from detector.runs.lock import FolderLock
from detector.text import shown

Kind = TypeVar("Kind", bound=Section)

# Splits whose names say it all: of letters, and perhaps the suffix of a list.
PLAIN_SPLIT = re.compile(r"[A-Za-z0-9_-]+(\.txt)?")
LONGEST_SLUG = 100  # characters
SLUG_HASH = re.compile(r"-[0-9a-f]{8}$")

FILES = "files"  # what a manifest calls the sizes of files that a stage writes for its readers
NO_FILE = -1  # the size of what is not there

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


class RunFolder:
    """One experiment's folder: config.yaml, environment.json, log.jsonl, stages/, model/, report/."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config_path(self) -> Path:
        """The resolved settings of the run."""
        return self.path / "config.yaml"

    @property
    def model_path(self) -> Path:
        """The fine-tuned network."""
        return self.path / "model" / "region_classifier.safetensors"

    @property
    def svm_path(self) -> Path:
        """The SVMs on its features."""
        return self.path / "model" / "svm.safetensors"

    @property
    def boxes_path(self) -> Path:
        """The box regressors on its features."""
        return self.path / "model" / "boxes.safetensors"

    @property
    def weights_path(self) -> Path:
        """The learned weights of an ensemble's models."""
        return self.path / "model" / "ensemble.json"

    @property
    def context_path(self) -> Path:
        """The rescoring by context."""
        return self.path / "model" / "context.safetensors"

    @property
    def image_network_path(self) -> Path:
        """The network that sees whole images, where it is not the fine-tuned one."""
        return self.path / "model" / "image_network.safetensors"

    @property
    def cascade_path(self) -> Path:
        """The cheap classifier that drops regions first."""
        return self.path / "model" / "cascade.safetensors"

    @property
    def classifier_path(self) -> Path:
        """The trained image classifier."""
        return self.path / "model" / "classifier.safetensors"

    @property
    def multibox_path(self) -> Path:
        """The trained MultiBox network."""
        return self.path / "model" / "multibox.safetensors"

    def member(self, number: int) -> "RunFolder":
        """The folder of the ensemble's model `number`: of 0 the run itself, of others one within."""
        return RunFolder(self.path / "members" / str(number)) if number else self

    def lock(self) -> FolderLock:
        """The lock that keeps other processes from writing here; who has it finds no leftovers of killed ones."""
        return FolderLock(self.path, self._remove_leftovers)

    def _remove_leftovers(self) -> None:
        """Delete the temporary files of killed processes, in folders that only the lock's owner writes to."""
        folders = ("model", "members/*", "members/*/model", "report*", "ablation_*")
        found = [path for pattern in folders for path in self.path.glob(pattern)]
        for stages in (self.path / "stages", *self.path.glob("members/*/stages")):
            found += [Path(folder) for folder, _, _ in os.walk(stages)]
        remove_leftovers(self.path, OWN_LEFTOVER)
        for folder in found:
            remove_leftovers(folder)

    def begin(self, config: Section) -> None:
        """Write the settings and the environment, and note the start."""
        write_text(self.config_path, dump_config(config))
        write_text(self.path / "environment.json", json.dumps(environment(), indent=2) + "\n")
        self.log("start", config=str(self.config_path))

    def read_config(self, kind: type[Kind], overrides: list[str]) -> Kind:
        """The settings of an earlier run with `overrides` over them; DataError where this is no run."""
        if not self.config_path.is_file():
            raise DataError(f"run must be a folder that holds config.yaml, got {self.path}")
        return load_config(kind, self.config_path, overrides)

    def log(self, event: str, **facts: Any) -> None:
        """Append one JSON line to log.jsonl."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **facts}
        path = self.path / "log.jsonl"
        begin = "\n" if _ends_within_a_line(path) else ""  # a kill cut it
        append_text(path, f"{begin}{json.dumps(line)}\n")

    def log_notes(self, notes: Iterable[str]) -> None:
        """Log what the readers found in the data, and show it."""
        for note in notes:
            self.log("data", note=note)
            tqdm.write(note, file=sys.stderr)

    def stage(self, *names: str) -> "Stage":
        """The stage called `names[0]`, of the part (a split, say) called by the further names."""
        return Stage(self, self.path / "stages", names)


class Stage:
    """One stage's folder and its manifest, which says by what inputs it was made and whether it is whole."""

    def __init__(self, run: RunFolder, folder: Path, names: Sequence[str]) -> None:
        self.run = run
        self.folder = folder.joinpath(*names)
        self.former = folder.joinpath(*(SLUG_HASH.sub("", name) for name in names))
        self.name = "/".join(names)
        self.manifest_path = self.folder / "stage.json"
        self.started = time.monotonic()

    def is_done(self, inputs: Mapping[str, Any]) -> bool:
        """Whether the stage was finished with these very inputs; DataError where its manifest cannot be read."""
        self._adopt(inputs)
        manifest = self._manifest()
        return manifest is not None and manifest["done"] and manifest["key"] == key_of(inputs)

    def begin(self, inputs: Mapping[str, Any]) -> None:
        """Make ready to run: what was begun with the same inputs stays to be resumed, anything else goes."""
        manifest = self._manifest()
        if manifest is None or manifest["key"] != key_of(inputs):
            self.manifest_path.unlink(missing_ok=True)  # first: what a kill leaves of the rest must not look done
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.run.log("stage begun", stage=self.name)
        else:
            self.run.log("stage resumed", stage=self.name)
        self._write(inputs, done=False)
        self.started = time.monotonic()

    def finish(self, inputs: Mapping[str, Any], **facts: Any) -> None:
        """Record that the stage is whole; `facts` are kept in its manifest."""
        seconds = round(time.monotonic() - self.started, 2)
        self._write(inputs, done=True, seconds=seconds, **facts)
        self.run.log("stage done", stage=self.name, seconds=seconds, **facts)

    def facts(self) -> dict[str, Any]:
        """The manifest, empty where there is none."""
        return self._manifest() or {}

    def has_files(self, names: Sequence[str]) -> bool:
        """Whether a finished stage's files are there, of the sizes in its manifest if that is no old one."""
        sizes = file_sizes(self.folder, names)
        return NO_FILE not in sizes.values() and self.facts().get(FILES, sizes) == sizes

    def _adopt(self, inputs: Mapping[str, Any]) -> None:
        """Take over what an older version made of the same inputs, in a folder that had no hash in its name."""
        if self.former == self.folder or self.folder.exists() or not self.former.exists():
            return
        former = Stage(self.run, self.former, ())
        if former.facts().get("key") == key_of(inputs):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # another process of the group was first
                self.former.rename(self.folder)

    def _write(self, inputs: Mapping[str, Any], **facts: Any) -> None:
        manifest = {"stage": self.name, "key": key_of(inputs), **facts, "inputs": inputs}
        write_text(self.manifest_path, json.dumps(manifest, indent=2, default=str) + "\n")

    def _manifest(self) -> dict[str, Any] | None:
        """The manifest, None where there is none.

        DataError for a damaged one: it alone says whether the work beside it, perhaps of days, may be used.
        """
        if not self.manifest_path.exists():
            return None
        try:
            manifest = read_json(self.manifest_path, "stage manifest")
            if not isinstance(manifest, dict):
                raise DataError(f"stage manifest must be a JSON object, got another value ({self.manifest_path})")
            for key, kind in (("key", str), ("done", bool)):
                if not isinstance(manifest.get(key), kind):
                    got = shown(manifest[key]) if key in manifest else "none"
                    what = f"stage manifest's {key!r} must be a {kind.__name__}"
                    raise DataError(f"{what}, got {got} ({self.manifest_path})")
        except DataError as error:
            raise DataError(f"{error}; without this file the stage is made again") from None
        return manifest


def key_of(inputs: Mapping[str, Any]) -> str:
    """A short hash of `inputs` (JSON values), the same for equal inputs."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sizes(folder: Path, names: Sequence[str]) -> dict[str, int]:
    """The bytes of the files with these names, by name."""
    paths = {name: folder / name for name in names}
    return {name: path.stat().st_size if path.is_file() else NO_FILE for name, path in paths.items()}


def split_slug(splits: Sequence[str]) -> str:
    """A folder name for the data set joined from `splits`.

    Split names and names of lists keep their letters. Names that would lose others in the folder's, such as those
    of lists in other folders, get a hash: it differs for different splits.
    """
    splits = [os.path.normpath(split) for split in splits]
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "_", "+".join(Path(split).stem for split in splits))
    if all(map(PLAIN_SPLIT.fullmatch, splits)) and len(slug) <= LONGEST_SLUG:
        return slug
    return f"{slug[:LONGEST_SLUG].lstrip('.')}-{key_of({'splits': splits})[:8]}"


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
        "processor": _processor(),
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


def _ends_within_a_line(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # no file, or an empty one
        return False


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str:
    """The commit of the source tree this code runs from, "unknown" outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
