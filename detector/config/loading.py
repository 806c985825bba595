"""Config files: YAML and `section.key=value` words, checked into one frozen object."""

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
    try:
        text = read_text(path, "config")
    except DataError as error:
        raise ConfigError(str(error)) from None
    tree = read_yaml_text(text, "config", str(path))
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"config must hold `section: key: value` lines, got {shown(tree)} ({path})")
    tree.setdefault("name", one_line(path.stem))
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


def apply_override(tree: dict[str, Any], word: str) -> None:
    """Set in `tree` what the word `section.key=value` says, the value read as YAML; ConfigError for any other."""
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
