"""Pretrained weights of a config, by path or by name."""

from typing import TypeVar

from detector.config import ClassificationConfig, Config, MultiBoxConfig
from detector.networks.sources import find_weights

AnyConfig = TypeVar("AnyConfig", Config, ClassificationConfig, MultiBoxConfig)


def with_local_weights(config: AnyConfig, download: bool) -> AnyConfig:
    """`config` with the path of its weights in place of a name; missing ones are fetched with `download`."""
    if config.network.weights is None:
        return config
    found = find_weights(config.network.weights, download)
    return config.model_copy(update={"network": config.network.model_copy(update={"weights": found})})
