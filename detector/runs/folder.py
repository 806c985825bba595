"""The run folder: what was asked for, what was done, and where everything is."""

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from detector.config import Section
from detector.config.loading import dump_run_config, load_run_config
from detector.errors import DataError
from detector.files import OWN_LEFTOVER, append_text, remove_leftovers, write_text
from detector.runs.environment import environment
from detector.runs.lock import FolderLock
from detector.runs.own_lists import with_own_lists
from detector.runs.processes import Group, alone
from detector.runs.stage import STAGES, Stage

Kind = TypeVar("Kind", bound=Section)


class RunFolder:
    """One experiment's folder: config.yaml, environment.json, log.jsonl, stages/, model/, report/."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config_path(self) -> Path:
        """The resolved settings of the run."""
        return self.path / "config.yaml"

    @property
    def pretrained_path(self) -> Path:
        """The network trained on the objects' own boxes."""
        return self.path / "model" / "pretrained.safetensors"

    @property
    def first_classifier_path(self) -> Path:
        """The classifier that fine-tuning begins with, where one was fitted."""
        return self.path / "model" / "first_classifier.safetensors"

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

    @property
    def methods_path(self) -> Path:
        """The mean AP of each way to detect, which ends the report on the test split."""
        return self.path / "report" / "methods.json"

    @property
    def statement_path(self) -> Path:
        """What says by which settings the files beside it were made (`runs/statement.py`)."""
        return self.path / "model" / "statement.json"

    @property
    def card_path(self) -> Path:
        """The model card, which an exported model has."""
        return self.path / "MODEL_CARD.md"

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
        for stages in (self.path / STAGES, *self.path.glob(f"members/*/{STAGES}")):
            found += [Path(folder) for folder, _, _ in os.walk(stages)]
        remove_leftovers(self.path, OWN_LEFTOVER)
        for folder in found:
            remove_leftovers(folder)

    def begin(self, config: Section) -> None:
        """Write the settings and the environment, and note the start."""
        self.write_config(config)
        write_text(self.path / "environment.json", json.dumps(environment(), indent=2) + "\n")
        self.log("start", config=str(self.config_path))

    def write_config(self, config: Section) -> None:
        """Write the settings, all of them."""
        write_text(self.config_path, dump_run_config(config))

    def read_config(self, kind: type[Kind], overrides: list[str]) -> Kind:
        """The settings of an earlier run with `overrides` over them; DataError where this is no run.

        Its own lists are found where it was moved. ConfigError where its file does not hold all settings, as one
        that was cut off.
        """
        if not self.config_path.is_file():
            raise DataError(f"run must be a folder that holds config.yaml, got {self.path}")
        return with_own_lists(load_run_config(kind, self.config_path, overrides), self.path)

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

    def stage(self, *names: str, group: Group | None = None) -> Stage:
        """The stage called `names[0]`, of the part (a split, say) called by the further names."""
        return Stage(self.path, names, self.log, group or alone())


def _ends_within_a_line(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # no file, or an empty one
        return False
