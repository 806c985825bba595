"""Config files and options that are damaged: one line that names the key, or settings that can be shown."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fuzz.conftest import run_command, tries
from mutations import ODD_VALUES, ODD_WORDS, damaged_bytes, damaged_text
from pydantic import BaseModel

from detector.config import ClassificationConfig, Config, MultiBoxConfig

CONFIGS = Path(__file__).parents[2] / "configs"
KINDS: dict[str, type[BaseModel]] = {
    "train_det": Config,
    "train_cls": ClassificationConfig,
    "train_multibox": MultiBoxConfig,
}
FILES = {"train_det": "fruit.yaml", "train_cls": "synthetic_cls.yaml", "train_multibox": "multibox_synthetic.yaml"}
# each line holds the one before nine times
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 15))
HOSTILE = [
    "a: &a [*a]",
    "name: !!python/object/apply:os.system [true]",
    "name: 2024-13-01",
    "seed: 0x_",
    "seed: " + "9" * 5_000,
    "seed: 1\nseed: 2",
    "a: " * 5_000,
    "[" * 5_000,
    LAUGHS,
    "\x00",
    "- a\n- b",
    "name: [",
    "? {a: b}\n: c",
    "1: 2",
    "null: 1",
    "data: null",
    "data: [1]",
]  # fmt: skip


def keys_of(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings."""
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("command", KINDS)
@tries(40)
def test_a_damaged_config_is_refused_or_shown(command: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(f"{command} {seed}")
    content = (CONFIGS / FILES[command]).read_bytes()
    path = tmp_path / "c.yaml"
    if draw.random() < 0.3:
        path.write_bytes(damaged_bytes(content, draw))
    else:
        path.write_text(damaged_text(content.decode(), draw))
    check(run_command(command, str(path), "--print-config"))


@pytest.mark.parametrize("command", KINDS)
@tries(40)
def test_an_odd_value_of_a_setting_is_refused_or_shown(command: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(f"{command} {seed}")
    key = draw.choice(list(keys_of(KINDS[command])))
    path = tmp_path / "c.yaml"
    path.write_text("{}")
    if draw.random() < 0.5:
        told = run_command(command, str(path), f"{key}={draw.choice(ODD_WORDS)}", "--print-config")
    else:
        value = yaml.safe_dump(draw.choice(ODD_VALUES), default_flow_style=True, width=10**6).partition("\n")[0]
        told = run_command(command, str(path), f"{key}={value}", "--print-config")
    check(told)
    if told.status == 2 and not told.lines[-1].startswith(f"{command}: override"):
        assert key.rpartition(".")[2] in told.lines[-1]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_config_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    told = run_command("train_det", str(path), "--print-config")
    assert told.status == 2
    assert str(path) in told.lines[-1]


def check(told: object) -> None:
    """What was accepted is shown as YAML that can be read again."""
    status, output = told.status, told.output  # type: ignore[attr-defined]
    if status == 0:
        assert isinstance(yaml.safe_load(output), dict)
