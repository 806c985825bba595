"""Stages: the steps of a run. Each result lies in a folder named by the key of what the stage read.

    RUN/stages/NAME/KEY/       a result, with stage.json, which says what was read and whether it is whole
    RUN/stages/NAME/PART       a link to the result of the present settings; of a stage without parts "present"

A key follows from the settings, the earlier results and the files that a stage reads, and from the version of its
algorithm. Other settings have another key: finished results stay, and are found again when their settings return.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from detector.errors import DataError
from detector.files import file_hash, read_json, write_text
from detector.runs.keys import key_of, plain
from detector.runs.processes import Group, alone
from detector.text import one_line, shown

STAGES, MANIFEST, PRESENT = "stages", "stage.json", "present"
OLD = ".old"  # what a folder in the place of a link is called from now on
FILES = "files"  # what a manifest calls the sizes of files that a stage writes for its readers
HASHES = "hashes"  # of files that later stages read
NO_FILE = -1  # the size of what is not there


@dataclass(frozen=True)
class Stage:
    """A step of the run in the folder `root`: names[0], of the part (a split, say) that the others call.

    `log` notes events in the run's log; the processes of `group` share the work.
    """

    root: Path
    names: tuple[str, ...]
    log: Callable[..., None]
    group: Group

    @property
    def name(self) -> str:
        """What it is called in messages, such as detect/val/softmax."""
        return "/".join(self.names)

    @property
    def folder(self) -> Path:
        """The result of the run's present settings."""
        names = self.names if len(self.names) > 1 else (*self.names, PRESENT)
        return self.root.joinpath(STAGES, *names)

    @property
    def by_one(self) -> "Stage":
        """The stage as one process works on it alone."""
        return replace(self, group=alone(self.group.device))

    def result(self, version: int, **reads: Any) -> "Result":
        """The result of what is read (`keys.plain` says what may be), by this version of the algorithm."""
        return Result(self, version, plain(reads))

    def facts(self) -> dict[str, Any]:
        """The manifest of the present settings' result, empty where there is none."""
        return read_manifest(self.folder / MANIFEST) or {}


@dataclass
class Result:
    """One result of a stage, of what it `reads` as JSON values: `key` is their hash."""

    stage: Stage
    version: int
    reads: dict[str, Any]
    key: str = field(init=False)
    started: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.key = key_of({"stage": self.stage.names[0], "version": self.version, "reads": self.reads})

    @property
    def folder(self) -> Path:
        """Its own folder."""
        return self.stage.root / STAGES / self.stage.names[0] / self.key

    @property
    def group(self) -> Group:
        """The processes that share the work."""
        return self.stage.group

    def is_done(self) -> bool:
        """Whether it is finished, which makes it the present one; DataError where its manifest cannot be read.

        The first process alone looks, for all others of the group, which must call this too.
        """
        return self.group.from_first(self.group.is_first and self._is_done())

    def begin(self) -> None:
        """Make ready to work: what was begun stays to be resumed. The first process does it for all."""
        if self.group.is_first:
            resumed = read_manifest(self.folder / MANIFEST) is not None
            if not resumed and self.folder.exists():  # whatever this is, nothing says of what it was made
                shutil.rmtree(self.folder)
            self.stage.log(f"stage {'resumed' if resumed else 'begun'}", stage=self.stage.name, key=self.key)
            self._write(done=False)
            self.show()
        self.group.wait()
        self.started = time.monotonic()

    def finish(self, **facts: Any) -> None:
        """Record that it is whole, by the first process alone; `facts` are kept in the manifest."""
        seconds = round(time.monotonic() - self.started, 2)
        self._write(done=True, seconds=seconds, **facts)
        self.stage.log("stage done", stage=self.stage.name, key=self.key, seconds=seconds, **facts)

    def facts(self) -> dict[str, Any]:
        """The manifest, empty where there is none."""
        return read_manifest(self.folder / MANIFEST) or {}

    def has_files(self, names: Sequence[str]) -> bool:
        """Whether the files that a finished result wrote are there, of the sizes in its manifest."""
        sizes = file_sizes(self.folder, names)
        return NO_FILE not in sizes.values() and self.facts().get(FILES, sizes) == sizes

    def is_as_made(self, path: Path) -> bool:
        """Whether a file of a finished result is the one that it made, as far as its manifest says; else a line.

        The run shows its files by further names, and what is written to one of these is in the result.
        """
        stated = self.facts().get(HASHES)
        made = stated.get(path.name) if isinstance(stated, dict) else None
        if made is None or file_hash(path) == made:
            return True
        line = f"{path} is another file than stage {self.stage.name} made: it is made again"
        tqdm.write(one_line(line), file=sys.stderr)
        return False

    def show(self) -> None:
        """Make the stage's folder a link to this result."""
        link = self.stage.folder
        if link.is_symlink() and link.resolve() == self.folder.resolve():
            return
        if link.is_dir() and not link.is_symlink():
            link.rename(self._old_folder())
        if (self.folder.parent / MANIFEST).is_file():  # of a stage without parts
            others, kept = _not_results(self.folder.parent), self._old_folder()
            kept.mkdir()
            for path in others:
                path.rename(kept / path.name)
        target = os.path.relpath(self.folder, link.parent)
        temporary = link.with_name(f".{link.name}.link")  # of one name, so that what a kill leaves is used again
        with suppress(OSError):  # a file system without links: the result is found by its key all the same
            link.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target, target_is_directory=True)
            temporary.replace(link)

    def _is_done(self) -> bool:
        manifest = read_manifest(self.folder / MANIFEST)
        done = manifest is not None and manifest["done"] and manifest["key"] == self.key
        if done:
            self.show()
        return done

    def _old_folder(self) -> Path:
        """A free place for what an older version of this program made, as the log tells."""
        kept = self.stage.folder.with_name(self.stage.folder.name + OLD)
        while kept.exists():
            kept = kept.with_name(kept.name + OLD)
        self.stage.log("older results kept", stage=self.stage.name, folder=str(kept.relative_to(self.stage.root)))
        return kept

    def _write(self, **facts: Any) -> None:
        manifest = {
            "stage": self.stage.name,
            "key": self.key,
            "version": self.version,
            **facts,
            "reads": self.reads,
        }
        write_text(self.folder / MANIFEST, json.dumps(manifest, indent=2, default=str) + "\n")


def _not_results(folder: Path) -> list[Path]:
    """What lies in a stage's folder beside results and links; the manifest last, as it marks that there is any."""
    others = [path for path in folder.iterdir() if not path.is_symlink() and not (path / MANIFEST).is_file()]
    return sorted(others, key=lambda path: path.name == MANIFEST)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest at `path`, None where there is none.

    DataError for a damaged one: it alone says whether the work beside it, perhaps of days, may be used.
    """
    if not path.exists():
        return None
    try:
        manifest = read_json(path, "stage manifest")
        if not isinstance(manifest, dict):
            raise DataError(f"stage manifest must be a JSON object, got another value ({path})")
        for key, kind in (("key", str), ("done", bool)):
            if not isinstance(manifest.get(key), kind):
                got = shown(manifest[key]) if key in manifest else "none"
                raise DataError(f"stage manifest's {key!r} must be a {kind.__name__}, got {got} ({path})")
    except DataError as error:
        raise DataError(f"{error}; without this file the stage is made again") from None
    return manifest


def file_hashes(paths: Iterable[Path]) -> dict[str, str]:
    """The hashes of files by their names, for a manifest."""
    return {path.name: file_hash(path) for path in paths}


def file_sizes(folder: Path, names: Sequence[str]) -> Mapping[str, int]:
    """The bytes of the files with these names, by name."""
    paths = {name: folder / name for name in names}
    return {name: path.stat().st_size if path.is_file() else NO_FILE for name, path in paths.items()}
