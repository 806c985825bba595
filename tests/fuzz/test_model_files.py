"""Files of models that are damaged: one line that names the file, or finite scores."""

import json
import random
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzz.conftest import time_limit, tries
from made_runs import write_run
from mutations import ODD_VALUES, damaged_bytes, damaged_json, damaged_tree
from safetensors.torch import load_file, save_file
from torch import Tensor

from detector.errors import ConfigError, DataError
from detector.jobs.load_detector import load_detector
from detector.networks.weight_files.safetensors_files import METADATA, read_tensors
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder

State = dict[str, Tensor]
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with a network, SVMs and box regressors."""
    run = write_run(tmp_path_factory.mktemp("made") / "run", "svm.enabled=true", "boxes.enabled=true")
    load_detector(run.path).detect(IMAGE)  # compiles what is compiled once, which is no part of a try's time
    return run


def damage_facts(path: Path, draw: random.Random) -> None:
    """Another value in the facts of the header."""
    state = load_file(path)
    facts = read_tensors(path)[1]
    facts.pop("hash", None)
    if draw.random() < 0.2:
        text = damaged_json(json.dumps(facts), draw)
    elif draw.random() < 0.3 and "config" in facts:
        text = json.dumps({**facts, "config": damaged_config(facts["config"], draw)})
    else:
        text = json.dumps(damaged_tree(facts, draw))
    save_file(state, path, {METADATA: text.encode("utf-8", "replace").decode()})


def damaged_config(text: str, draw: random.Random) -> object:
    """The settings in the facts, changed."""
    return draw.choice(
        [text[: draw.randrange(len(text))], f"{text}name: twice\n", "a: &a [*a]", 5, None, "[" * 5_000]
    )


def damage_tensors(path: Path, draw: random.Random) -> None:
    """Another tensor under a name, or none, or one too many."""
    state = load_file(path)
    facts = {key: value for key, value in read_tensors(path)[1].items() if key != "hash"}
    name = draw.choice(sorted(state))
    value = state[name]
    changes: list[Callable[[], Mapping[str, Tensor]]] = [
        lambda: {key: value for key, value in state.items() if key != name},
        lambda: {**state, "extra\n": torch.zeros(1)},
        lambda: {**state, name: value.flatten()},
        lambda: {**state, name: value.to(torch.int64)},
        lambda: {**state, name: value.to(torch.complex64)},
        lambda: {**state, name: value.to(torch.bool)},
        lambda: {**state, name: value.to(torch.float64)},
        lambda: {**state, name: value.to(torch.bfloat16)},
        lambda: {**state, name: torch.full_like(value.float(), torch.inf)},
        lambda: {**state, name: torch.full_like(value.float(), torch.nan)},
        lambda: {**state, name: value.float() * 1e38},
        lambda: {**state, name: torch.empty(0)},
        lambda: {},
    ]
    save_file(
        {key: v.contiguous() for key, v in draw.choice(changes)().items()}, path, {METADATA: json.dumps(facts)}
    )


def damage_header(path: Path, draw: random.Random) -> None:
    """Another length or text of safetensors' own header."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = content[8 : 8 + length].decode()
    if draw.random() < 0.3:
        path.write_bytes(struct.pack("<Q", draw.choice([0, 1, length - 1, length + 1, 2**62])) + content[8:])
        return
    tree: Any = damaged_tree(json.loads(header), draw)
    text = json.dumps(tree).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def damage_bytes(path: Path, draw: random.Random) -> None:
    """Anything."""
    path.write_bytes(damaged_bytes(path.read_bytes(), draw))


DAMAGES = (damage_facts, damage_facts, damage_tensors, damage_header, damage_bytes)


@pytest.mark.parametrize("file", ["model_path", "svm_path", "boxes_path"])
@tries(8)
def test_a_damaged_model_gives_finite_scores_or_one_line(
    file: str, seed: int, made: RunFolder, tmp_path: Path
) -> None:
    draw = random.Random(f"{file} {seed}")
    run = RunFolder(tmp_path / "run")
    shutil.copytree(made.path, run.path)
    path: Path = getattr(run, file)
    draw.choice(DAMAGES)(path, draw)
    whole = draw.random() < 0.5 or file != "model_path"
    with time_limit(60):
        try:
            found = load_detector(run.path if whole else path).detect(IMAGE)
        except DataError as error:
            assert path.name in str(error), error
        except ConfigError as error:
            assert "model" in str(error) or "region" in str(error), error
        else:
            assert np.isfinite(found.scores).all()
            assert np.isfinite(found.boxes).all()


@pytest.mark.parametrize("suffix", [".npz", ".pth", ".caffemodel", ".safetensors"])
@tries(10)
def test_damaged_weights_of_every_family_are_one_line(suffix: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(f"{suffix} {seed}")
    path = tmp_path / f"m{suffix}"
    odd: Any = draw.choice(ODD_VALUES)
    match suffix:
        case ".npz":
            np.savez(path, x=np.array([odd], object))
        case ".pth":
            torch.save(
                draw.choice([odd, {5: torch.ones(1)}, {"a": odd}, {"conv1.conv.weight": torch.ones(2)}]), path
            )
        case ".caffemodel":
            path.write_bytes(draw.randbytes(draw.randint(0, 200)))
        case ".safetensors":
            save_file({"a": torch.ones(2)}, path, {METADATA: json.dumps({"variant": odd, "preprocessing": odd})})
    if draw.random() < 0.3:
        damage_bytes(path, draw)
    with time_limit(10), pytest.raises(DataError) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert "weights_only" not in str(caught.value)
