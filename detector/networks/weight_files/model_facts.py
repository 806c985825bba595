"""What the header of a classifier's file states beside its layers, checked: classes, regions, settings.

Files of other families state nothing, and get what is usual.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from detector.config import RegionSettings, Section, parse_config
from detector.config.limits import CROP
from detector.data.classes import ClassList
from detector.errors import DataError
from detector.text import shown


class _Sizes(Section):
    """What is stated as a config states it."""

    region: RegionSettings = RegionSettings()
    crop_size: int = Field(224, ge=32, le=CROP)


@dataclass(frozen=True)
class ModelFacts:
    """Facts of a model: labels 1..C are `classes`, of regions or of whole images; None where none are stated.

    `region` is how it was trained to see a region, by default R-CNN's way; `crop_size`, in pixels, how it sees
    whole images. `config` is the YAML text of the settings it was trained with, "" where none is stated.
    """

    classes: ClassList | None
    region: RegionSettings
    crop_size: int
    config: str
    hash: str

    @staticmethod
    def of(metadata: Mapping[str, Any], path: Path) -> "ModelFacts":
        """What the `metadata` of the file at `path` state; ConfigError or DataError names file and field."""
        stated = {name: metadata[name] for name in _Sizes.model_fields if name in metadata}
        sizes = parse_config(_Sizes, stated, str(path))
        texts = {name: _text(metadata.get(name, ""), name, path) for name in ("config", "hash")}
        return ModelFacts(_classes(metadata, path), sizes.region, sizes.crop_size, **texts)


def _classes(metadata: Mapping[str, Any], path: Path) -> ClassList | None:
    if "classes" not in metadata:
        return None
    names, wnids = (_names(metadata.get(key, []), key, path) for key in ("classes", "wnids"))
    try:
        return ClassList(names, wnids)
    except DataError as error:
        raise DataError(f"{error} (classes of {path})") from None


def _names(value: object, key: str, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DataError(f"{key} must be a list of names, got {shown(value)} ({path})")
    return tuple(value)


def _text(value: object, key: str, path: Path) -> str:
    if not isinstance(value, str):
        raise DataError(f"{key} must be text, got {shown(value)} ({path})")
    return value
