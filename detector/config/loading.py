"""Config files: YAML and `section.key=value` words, checked into one frozen object.

A user's file gives what differs from the defaults. A run's holds all settings: what is missing there was lost.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from detector.config.explain import explain
from detector.config.values import settle
from detector.config.yaml_text import read_yaml_text
from detector.errors import ConfigError, DataError
from detector.files import read_text
from detector.text import one_line, shown

FIRST_LINE = "# the settings of a run, down to the line # end"  # earlier versions wrote neither
LAST_LINE = "# end"
# what stands in the file of every run, whatever version wrote it
LASTING: tuple[str, ...] = ("name", "seed", "data", "proposals", "region", "network", "pretrain", "finetune")
LASTING += ("svm", "boxes", "detect", "evaluate", "engine")


class Section(BaseModel):
    """A group of settings: frozen, unknown keys are errors, as are values of another kind (`values.settle`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _settle(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[str(info.field_name)]
        return settle(field.annotation, field.metadata, value)


Kind = TypeVar("Kind", bound=Section)


def load_config(kind: type[Kind], path: Path, overrides: Sequence[str] = ()) -> Kind:
    """The config file `path` with `section.key=value` words applied over it; ConfigError names key and value.

    Without a `name` the experiment is called as the file.
    """
    tree = _read_tree(path)
    tree.setdefault("name", one_line(path.stem))
    return _overridden(kind, tree, overrides, path)


def load_run_config(kind: type[Kind], path: Path, overrides: Sequence[str] = ()) -> Kind:
    """As `load_config`, of the file that a run has: ConfigError also where a part of it is missing."""
    tree = _read_tree(path)
    missing = [name for name in LASTING if name in kind.model_fields and name not in tree]
    if missing and tree.keys() <= kind.model_fields.keys():  # else it is another experiment's, which is told
        raise ConfigError(f"config of a run must hold all settings, got none of {', '.join(missing)} ({path})")
    return _overridden(kind, tree, overrides, path)


def _read_tree(path: Path) -> dict[str, Any]:
    """What a config file says; ConfigError for one that is no map, or is a run's and was cut off."""
    try:
        text = read_text(path, "config")
    except DataError as error:
        raise ConfigError(str(error)) from None
    lines = text.splitlines()
    if FIRST_LINE in lines[:1] and LAST_LINE not in lines:
        raise ConfigError(f"config of a run must end with the line {LAST_LINE}, got none ({path})")
    tree = read_yaml_text(text, "config", str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"config must hold `section: key: value` lines, got {shown(tree)} ({path})")
    return tree


def _overridden(kind: type[Kind], tree: dict[str, Any], overrides: Sequence[str], path: Path) -> Kind:
    for word in overrides:
        apply_override(tree, word)
    return parse_config(kind, tree, str(path))


def parse_config(kind: type[Kind], tree: Mapping[str, Any], source: str) -> Kind:
    """The settings in `tree`; ConfigError names the first wrong key, its value and `source`."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(explain(error, kind, source)) from None


def dump_config(config: Section) -> str:
    """`config` as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def dump_run_config(config: Section) -> str:
    """`config` as the file of a run has it, which `load_run_config` reads back; that it is whole can be seen."""
    return f"{FIRST_LINE}\n{dump_config(config)}{LAST_LINE}\n"


def apply_override(tree: dict[str, Any], word: str) -> None:
    """Set in `tree` what the word `section.key=value` says, the value read as YAML; ConfigError for any other."""
    if not isinstance(word, str):
        raise ConfigError(f"override must be text that reads section.key=value, got {shown(word)}")
    key, separator, text = word.partition("=")
    *parents, leaf = key.split(".")
    if not separator or not all((*parents, leaf)):
        raise ConfigError(f"override must read section.key=value, got {shown(word)}")
    value = read_yaml_text(text, "override", shown(word))
    for parent in parents:
        branch = tree.setdefault(parent, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"override must name a setting inside a section, got {shown(word)}")
        tree = branch
    tree[leaf] = value
