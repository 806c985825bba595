"""Stages that make tensors part by part, shared out over processes and resumed at the part."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from detector.networks.safetensors_files import read_tensors, write_tensors
from detector.pipeline.distributed import Group
from detector.pipeline.run import Stage

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
    """Make parts 0..count - 1, each once; `finish` writes `output` from all and returns facts for the manifest.

    Every process of the group must call it; a part does not depend on who makes it.
    """
    if group.from_first(stage.is_done(inputs) and output.is_file()):
        return output
    if group.is_first:
        stage.begin(inputs)
    group.wait()  # until outdated parts are gone
    hidden = None if group.is_first else True
    for part in tqdm(range(count)[group.rank :: group.world], desc=stage.name, unit="part", disable=hidden):
        path = _path(stage, part)
        if not path.is_file():
            write_tensors(path, make(part), {})
    group.wait()
    if group.is_first:
        facts = finish([read_tensors(_path(stage, part))[0] for part in range(count)])
        stage.finish(inputs, **facts)
    group.wait()
    return output


def _path(stage: Stage, part: int) -> Path:
    return stage.folder / "parts" / f"{part:04d}.safetensors"
