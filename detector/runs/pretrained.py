"""Pretrained weights of a config, by path or by name.

A config keeps what its user wrote: a name stays a name, and is looked up each time that the file is read. So a
config that is passed on holds no path of this machine but those that its user typed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detector.config import ClassificationConfig, Config, MultiBoxConfig
from detector.errors import DataError
from detector.networks.weight_files.sources import SOURCES, find_weights

PUBLISHED, FROM_SCRATCH = "paper", "paper_bn"  # GoogLeNet as it was published, and as it learns from nothing
OF_VARIANT = {PUBLISHED: "bvlc"}  # the names of published weights that are not the network's


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


def suited_weights(variant: str) -> str | None:
    """The name of published weights of the network `variant`, None where there are none."""
    name = OF_VARIANT.get(variant, variant)
    return name if name in SOURCES else None


def start_of(given: Mapping[str, Any], download: bool) -> dict[str, Any]:
    """Settings of section `network` to add to the `given` ones, so that training starts from published weights.

    DataError says how to get weights that are missing. Where `weights` is given as None, the variant is one that
    trains from scratch.
    """
    if "weights" in given:
        return {"variant": FROM_SCRATCH} if given["weights"] is None else {}
    weights = suited_weights(given.get("variant", PUBLISHED))
    if weights is None:
        return {}
    try:
        find_weights(Path(weights), download)
    except DataError as error:
        raise DataError(f"{error}; network.weights=null does without, for thousands of photographs") from None
    return {"weights": weights}


def weights_file(weights: Path | None) -> Path | None:
    """The file of the weights of a setting, None where none are set; DataError where it is missing."""
    return None if weights is None else find_weights(weights)


def weights_name(weights: Path) -> str:
    """The file name of the weights of a setting."""
    source = SOURCES.get(str(weights))
    return weights.name if source is None else source.file
