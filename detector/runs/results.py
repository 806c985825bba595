"""What lies in a run folder: the results of all stages, whether they are used, how old and how large they are."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.errors import DataError
from detector.files import remove_leftovers
from detector.runs.stage import MANIFEST, OLD, PRESENT, STAGES, read_manifest

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class FoundResult:
    """A result of a stage in the folder `path` of the run.

    It is present if the run's present settings name it, or nothing names any, done if it is whole; `changed` in
    seconds since 1970, `size` in bytes. What an older version of this program left has no key.
    """

    path: Path
    stage: str
    key: str
    is_present: bool
    is_done: bool
    changed: float
    size: int

    @property
    def days(self) -> float:
        """How old it is."""
        return max(0.0, time.time() - self.changed) / DAY


def find_results(run: Path) -> list[FoundResult]:
    """All results in the run folder `run`, those of its members too, by stage and age; DataError for no run."""
    if not run.is_dir() or not ((run / "config.yaml").is_file() or (run / STAGES).is_dir()):
        raise DataError(f"run must be a folder that holds config.yaml or {STAGES}, got {run}")
    found = [each for stages in _stage_folders(run) for each in _results(run, stages)]
    return sorted(found, key=lambda each: (each.stage, -each.changed))


def remove_results(found: Sequence[FoundResult]) -> None:
    """Delete results, and the links that named them. What the run shows elsewhere, such as its model, stays."""
    for each in found:
        (each.path / MANIFEST).unlink(missing_ok=True)  # first: what a kill leaves must not look done
        shutil.rmtree(each.path)
        for link in _links(each.path.parent):
            if not link.exists():
                link.unlink()
        remove_leftovers(each.path.parent)


def _stage_folders(run: Path) -> Iterator[Path]:
    """The folders of all stages: of the run itself and of its members."""
    for stages in (run / STAGES, *sorted(run.glob(f"members/*/{STAGES}"))):
        if stages.is_dir():
            yield from sorted(path for path in stages.iterdir() if path.is_dir() and not path.is_symlink())


def _results(run: Path, stage: Path) -> Iterator[FoundResult]:
    """The results of one stage, and what is of an older version."""
    prefix = "" if stage.parent.parent == run else f"{stage.parent.parent.relative_to(run)}/"
    for folder, names, files in os.walk(stage):
        if MANIFEST not in files:
            continue
        names.clear()  # of a result's own folders none is a result
        path = Path(folder)
        manifest = _manifest_in(path)
        is_old = "version" not in manifest
        key = "" if is_old or path.name.endswith(OLD) else str(manifest.get("key", ""))
        name = str(manifest.get("stage", stage.name))
        done, is_present = bool(manifest.get("done")), bool(key) and _is_present(stage, name, key)
        changed, size = _measure(path)
        yield FoundResult(path, f"{prefix}{name}", key, is_present, done, changed, size)


def _is_present(stage: Path, name: str, key: str) -> bool:
    """Whether the place of the part called `name` shows the result; all count where there is no such place.

    It is a link, or in a copy of a run that has none a folder; where neither is, nothing tells what is used.
    """
    names = name.split("/")
    place = stage.parent.joinpath(*(names if len(names) > 1 else (*names, PRESENT)))
    return not os.path.lexists(place) or _manifest_in(place).get("key") == key


def _manifest_in(folder: Path) -> dict[str, Any]:
    """The manifest in a folder, empty where there is none, or a damaged one."""
    try:
        return read_manifest(folder / MANIFEST) or {}
    except DataError:
        return {}


def _links(stage: Path) -> list[Path]:
    """The links to results of a stage, whether these are there or not."""
    return [path for path in stage.rglob("*") if path.is_symlink()]


def _measure(folder: Path) -> tuple[float, int]:
    """When the youngest file below `folder` was written, and the bytes of all."""
    stats = [(Path(place) / name).lstat() for place, _, names in os.walk(folder) for name in names]
    return max((each.st_mtime for each in stats), default=0.0), sum(each.st_size for each in stats)
