"""Pretrained weights of a config, by path or by name."""

from pathlib import Path
from typing import Any, TypeVar

from detector.config import ClassificationConfig, Config, MultiBoxConfig
from detector.networks.sources import find_weights

AnyConfig = TypeVar("AnyConfig", Config, ClassificationConfig, MultiBoxConfig)


def with_local_weights(config: AnyConfig, download: bool) -> AnyConfig:
    """`config` with the paths of its weights in place of names; missing ones are fetched with `download`."""
    sections: dict[str, Any] = {"network": config.network}
    if isinstance(config, Config):
        sections |= {"context": config.context, "cascade": config.cascade}
    return config.model_copy(update={name: _found(section, download) for name, section in sections.items()})


def _found(section: Any, download: bool) -> Any:
    weights: Path | None = section.weights
    return section.model_copy(update={"weights": find_weights(weights, download)}) if weights else section
