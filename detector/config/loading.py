"""Config files: YAML and `section.key=value` words, checked into one frozen object."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from detector.errors import ConfigError


class Section(BaseModel):
    """A group of settings: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Kind = TypeVar("Kind", bound=Section)


def load_config(kind: type[Kind], path: Path, overrides: Sequence[str] = ()) -> Kind:
    """The config file `path` with `section.key=value` words applied over it; ConfigError names key and value.

    Without a `name` the experiment is called as the file.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config must be a readable YAML file, got {path} ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"config must be valid YAML, got {path}: {' '.join(str(error).split())}") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"config must hold `section: key: value` lines, got {type(tree).__name__} ({path})")
    tree.setdefault("name", path.stem)
    for word in overrides:
        apply_override(tree, word)
    return parse_config(kind, tree, str(path))


def parse_config(kind: type[Kind], tree: Mapping[str, Any], source: str) -> Kind:
    """The settings in `tree`; ConfigError names the first wrong key, its value and `source`."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, kind, source)) from None


def dump_config(config: Section) -> str:
    """`config` as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def apply_override(tree: dict[str, Any], word: str) -> None:
    """Set in `tree` what the word `section.key=value` says, the value read as YAML; ConfigError for any other."""
    key, separator, text = word.partition("=")
    if not separator or not key:
        raise ConfigError(f"override must read section.key=value, got {word!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override value must be valid YAML, got {word!r}") from None
    *parents, leaf = key.split(".")
    for parent in parents:
        branch = tree.setdefault(parent, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"override must name a setting inside a section, got {word!r}")
        tree = branch
    tree[leaf] = value


def _explain(error: ValidationError, kind: type[BaseModel], source: str) -> str:
    """One line for the first problem: the key, what was wanted, the value and the nearest known name."""
    problem = error.errors(include_url=False)[0]
    location = [part for part in problem["loc"] if isinstance(part, str) and not part.startswith("tuple[")]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, list(_known_keys(kind)), n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"unknown setting {key} = {problem['input']!r} ({source}){hint}"
    wanted = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {wanted} ({source})"
    return f"{key} is wrong: {wanted}, got {problem['input']!r} ({source})"


def _known_keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, f"{prefix}{name}.")
