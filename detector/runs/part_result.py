"""Results that are tensors made part by part, shared out over processes and resumed at the part."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from detector.errors import DataError
from detector.files import share_file
from detector.networks.weight_files.safetensors_files import read_tensors, write_tensors
from detector.progress import progress_bar
from detector.runs.stage import HASHES, Result, file_hashes

Tensors = dict[str, Tensor]


def run_parts(
    result: Result,
    count: int,
    make: Callable[[int], Tensors],
    output: Path,
    finish: Callable[[Path, list[Tensors]], dict[str, Any]],
) -> Path:
    """Make parts 0..count - 1; `finish` writes a file from all and returns facts for the manifest.

    The file lies with the result, and the run shows that of its present settings at `output`, which is returned.
    A part is made once, or again where it is damaged. Every process of the group must call this; a part does not
    depend on who makes it.
    """
    group, whole = result.group, result.folder / output.name
    if not (result.is_done() and group.from_first(group.is_first and are_kept(result, [whole]))):
        result.begin()
        parts = range(count)[group.rank :: group.world]
        for part in progress_bar(parts, desc=result.stage.name, unit="part", disable=not group.is_first):
            path, facts = _path(result, part), {"key": result.key, "part": part}
            if not is_whole(path, facts):
                write_tensors(path, make(part), facts)
        group.wait()
        if group.is_first:
            found = finish(whole, [read_tensors(_path(result, part))[0] for part in range(count)])
            result.finish(**found, **{HASHES: file_hashes([whole])})
    if group.is_first:
        share_file(whole, output)
    group.wait()
    return output


def are_kept(result: Result, paths: Iterable[Path]) -> bool:
    """Whether a finished result has its files of tensors, whole and as they were made."""
    return all(is_whole(path) and result.is_as_made(path) for path in paths)


def is_whole(path: Path, facts: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether `path` holds tensors, and says nothing else than `facts`; what it does not say counts as right."""
    try:
        found = read_tensors(path)[1]
    except DataError:
        return False
    return all(found.get(name, fact) == fact for name, fact in facts.items())


def _path(result: Result, part: int) -> Path:
    return result.folder / "parts" / f"{part:04d}.safetensors"
