"""The settings of a benchmark: the published ones, with the network and regions that weights state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detector.config import Config, parse_config
from detector.config.loading import apply_override
from detector.inference.backends import choose_backend
from detector.inference.proposer import opening_of
from detector.networks.backbones import check_crop, check_rounded
from detector.networks.weight_files.sources import find_weights
from detector.networks.weight_files.weights import weights_header
from detector.runs.folder import RunFolder


def bench_settings(weights: Path | None, overrides: Sequence[str], download: bool = False) -> Config:
    """The published settings under `overrides`; those of the network and its regions are as the weights state.

    `weights` may be a run folder, a file or a name. ConfigError for wrong settings, DataError for wrong weights.
    """
    given = {} if weights is None else {"weights": str(weights)}
    named = _parse({"network": given}, overrides).network.weights
    if named is None:
        return _parse({}, overrides)
    path = RunFolder(named).model_path if named.is_dir() else find_weights(named, download)
    found = weights_header(path)
    region = dict(found.metadata.get("region", {}))
    config = _parse({"region": region, "network": {"variant": found.variant}}, overrides)
    network = config.network.model_copy(update={"weights": path, "variant": found.variant})
    return config.model_copy(update={"network": network})


def _parse(tree: dict[str, Any], overrides: Sequence[str]) -> Config:
    tree = {"name": "bench", **tree}
    for word in overrides:
        apply_override(tree, word)
    config = parse_config(Config, tree, "command line")
    opening_of(config.proposals.source)
    choose_backend(config.engine)
    check_crop(config.network.variant, config.region.crop_size)
    if config.engine.precision == "int8":
        check_rounded(config.network.variant)
    return config
