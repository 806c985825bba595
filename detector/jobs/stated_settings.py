"""The settings that a file states it was made with, as far as this version knows them."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from detector.config import Config, Section, parse_config
from detector.config.yaml_text import read_yaml_text
from detector.errors import ConfigError
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.weights import weights_header
from detector.text import shown


def settings_of_model(path: Path) -> Config | None:
    """The settings that a network's file states it was trained by, None where it states none."""
    text = ModelFacts.of(weights_header(path).metadata, path).config
    return settings_in(text, path)


@lru_cache(maxsize=64)
def settings_in(text: str, path: Path) -> Config | None:
    """As `settings_of`, of the YAML text that the metadata of the file at `path` hold."""
    return settings_of(read_yaml_text(text, "config of weights", str(path)), path)


def settings_of(tree: object, path: Path) -> Config | None:
    """The settings in what the file at `path` states, without those that were dropped since it was written.

    None where there are none, or none that could be ones of today.
    """
    if not isinstance(tree, dict):
        return None
    try:
        return parse_config(Config, _known(Config, tree), str(path))
    except ConfigError:
        return None


def differing(key: str, stated: object, wished: Mapping[str, Any]) -> Iterator[str]:
    """The settings at `key` of which `stated` and `wished`, both as JSON, have other values, in words."""
    for name, value in stated.items() if isinstance(stated, Mapping) else ():
        if isinstance(wished.get(name), Mapping):
            yield from differing(f"{key}.{name}", value, wished[name])
        elif name in wished and value != wished[name]:
            yield f"{key}.{name} {shown(value)}, not {shown(wished[name])}"


def _known(kind: type[Section], tree: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if name in tree:
            inner, value = field.annotation, tree[name]
            if isinstance(inner, type) and issubclass(inner, Section) and isinstance(value, Mapping):
                value = _known(inner, value)
            found[name] = value
    return found
