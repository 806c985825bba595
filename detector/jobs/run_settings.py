"""The settings of a trained detector, from its run folder or from the file of its network."""

from collections.abc import Sequence
from pathlib import Path

from detector.config import Config, parse_config
from detector.config.loading import apply_override
from detector.config.yaml_text import read_yaml_text
from detector.errors import DataError
from detector.jobs.model_check import check_overrides
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.safetensors_files import read_tensors
from detector.runs.folder import RunFolder


def run_config(run: RunFolder, overrides: Sequence[str] = ()) -> Config:
    """The settings of a run with `overrides`; its own MultiBox weights stand in for ones that are gone.

    Those of an exported model go first: what lies by now where they came from may be another network. Overrides
    that give others count.
    """
    config = run.read_config(Config, list(overrides))
    weights = config.proposals.multibox.weights
    own = run.read_config(Config, []).proposals.multibox.weights
    if weights is None or weights != own or not run.multibox_path.is_file():
        return config
    if weights.is_file() and not run.card_path.is_file():
        return config
    multibox = config.proposals.multibox.model_copy(update={"weights": run.multibox_path})
    proposals = config.proposals.model_copy(update={"multibox": multibox})
    return config.model_copy(update={"proposals": proposals})


def config_of_file(path: Path, overrides: Sequence[str]) -> Config:
    """The settings that the metadata of a network's file hold."""
    if path.suffix != ".safetensors" or not path.is_file():
        raise DataError(f"detector must be a run folder or a region_classifier.safetensors, got {path}")
    text = ModelFacts.of(read_tensors(path)[1], path).config
    tree = read_yaml_text(text, "config of weights", str(path))
    if not isinstance(tree, dict):
        raise DataError(f"weights must state the config of train_det in their metadata, got none ({path})")
    parse_config(Config, tree, str(path))  # so that what is wrong in the file is not blamed on an override
    for word in overrides:
        apply_override(tree, word)
    return parse_config(Config, tree, str(path))


def wished_config(run: RunFolder, overrides: Sequence[str]) -> Config:
    """The settings of a trained run with `overrides`; ConfigError where these are of its training and others."""
    config = run_config(run, overrides)
    if overrides:
        check_overrides(run.read_config(Config, []), config, run.path)
    return config
