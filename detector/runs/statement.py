"""`model/statement.json`: the settings of the training that made the files of a model, and which files it made.

A training begins by stating its settings and no files, and adds each file once it is written, the end of its
report last. So files that an earlier training left, by other settings, cannot be taken for its own, even where it
is interrupted.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from detector.config import Section
from detector.errors import DataError
from detector.files import file_hash, read_json, write_text
from detector.runs.folder import RunFolder
from detector.text import shown


@dataclass(frozen=True)
class Statement:
    """The `settings` of a training, and the hashes of its `files` by their paths in the run, in the order made.

    `further` are the hashes of other runs' models that are averaged with its own.
    """

    settings: dict[str, Any]
    further: list[str]
    files: dict[str, str] = field(default_factory=dict)

    def has(self, run: RunFolder, path: Path) -> bool:
        """Whether the file at `path` is one that the training made."""
        return self.files.get(_name(run, path)) == file_hash(path)


def read_statement(run: RunFolder) -> Statement | None:
    """The statement of a run, None where there is none, as in runs of earlier versions; DataError if damaged."""
    path = run.statement_path
    if not path.exists():
        return None
    match read_json(path, "statement"):
        case {"settings": dict(settings), "further": list(further), "files": dict(files)}:
            return Statement(settings, further, files)
        case other:
            wanted = "settings, further and files of a model, as train_det writes it"
            raise DataError(f"statement must hold {wanted}, got {shown(other)} ({path}); train_det makes it anew")


def begin_statement(run: RunFolder, config: Section, further: Sequence[Path]) -> None:
    """State that a training by these settings begins; files stated by the same settings stay stated."""
    begun = Statement(config.model_dump(mode="json"), [file_hash(path) for path in further])
    known = _known(run)
    if known is None or replace(known, files={}) != begun:
        _write(run, begun)


def state_files(run: RunFolder, paths: Sequence[Path]) -> None:
    """State that the training made these files; where one has changed, all stated after it are dropped."""
    known = _known(run)
    if known is None:
        return
    made = {_name(run, path): file_hash(path) for path in paths}
    kept = dict(takewhile(lambda item: made.get(item[0], item[1]) == item[1], known.files.items()))
    if kept | made != known.files:
        _write(run, replace(known, files=kept | made))


def _known(run: RunFolder) -> Statement | None:
    try:
        return read_statement(run)
    except DataError:
        return None


def _write(run: RunFolder, statement: Statement) -> None:
    facts = {"settings": statement.settings, "further": statement.further, "files": statement.files}
    write_text(run.statement_path, json.dumps(facts, indent=1) + "\n")


def _name(run: RunFolder, path: Path) -> str:
    return path.relative_to(run.path).as_posix()
