"""Pretrained weights of a config, by path or by name.

A config keeps what its user wrote: a name stays one, and its file is looked up wherever it is read. So no file
that is passed on holds a path of this machine that nobody typed.
"""

from pathlib import Path

from detector.config import ClassificationConfig, Config, MultiBoxConfig
from detector.networks.weight_files.sources import SOURCES, find_weights


def fetch_weights(config: Config | ClassificationConfig | MultiBoxConfig, download: bool) -> None:
    """Make sure that weights given by name are on this machine; missing ones are fetched with `download`.

    DataError says what to put where.
    """
    given = [config.network.weights]
    if isinstance(config, Config):
        given += [config.context.weights, config.cascade.weights]
    for weights in given:
        if weights is not None:
            find_weights(weights, download)


def weights_file(weights: Path | None) -> Path | None:
    """The file of the weights of a setting, None where none are set; DataError for one that is not here."""
    return None if weights is None else find_weights(weights)


def weights_name(weights: Path) -> str:
    """What the file of such weights is called."""
    source = SOURCES.get(str(weights))
    return weights.name if source is None else source.file
