"""Stages that make tensors part by part, shared out over processes and resumed at the part."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor
from tqdm import tqdm

from detector.errors import DataError
from detector.networks.weight_files.safetensors_files import read_tensors, write_tensors
from detector.runs.folder import Stage, key_of
from detector.runs.processes import Group

Tensors = dict[str, Tensor]


def run_parts(
    stage: Stage,
    inputs: Mapping[str, Any],
    count: int,
    group: Group,
    make: Callable[[int], Tensors],
    output: Path,
    finish: Callable[[list[Tensors]], dict[str, Any]],
) -> Path:
    """Make parts 0..count - 1; `finish` writes `output` from all and returns facts for the manifest.

    Each is made once, or again where it is damaged. Every process of the group must call it; a part does not
    depend on who makes it.
    """
    if group.from_first(group.is_first and stage.is_done(inputs) and is_whole(output)):
        return output
    if group.is_first:
        stage.begin(inputs)
    group.wait()  # until outdated parts are gone
    hidden = None if group.is_first else True
    for part in tqdm(range(count)[group.rank :: group.world], desc=stage.name, unit="part", disable=hidden):
        path, facts = _path(stage, part), {"key": key_of(inputs), "part": part}
        if not is_whole(path, facts):
            write_tensors(path, make(part), facts)
    group.wait()
    if group.is_first:
        found = finish([read_tensors(_path(stage, part))[0] for part in range(count)])
        stage.finish(inputs, **found)
    group.wait()
    return output


def is_whole(path: Path, facts: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether `path` holds tensors, and says nothing else than `facts`; what it does not say counts as right."""
    try:
        found = read_tensors(path)[1]
    except DataError:
        return False
    return all(found.get(name, fact) == fact for name, fact in facts.items())


def _path(stage: Stage, part: int) -> Path:
    return stage.folder / "parts" / f"{part:04d}.safetensors"
