"""The settings of a trained detector, from its run folder or from the file of its network."""

from collections.abc import Sequence
from pathlib import Path

from detector.config import Config, parse_config
from detector.config.loading import apply_override
from detector.config.yaml_text import read_yaml_text
from detector.errors import ConfigError, DataError
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.safetensors_files import read_tensors
from detector.runs.folder import RunFolder

# sections that training alone reads, but for the switches of what is used of it
TRAINED = ("network", "pretrain", "finetune", "svm", "boxes")
SWITCHES = ("svm.enabled", "boxes.enabled")


def run_config(run: RunFolder, overrides: Sequence[str] = ()) -> Config:
    """The settings of a run with `overrides`; the run's own MultiBox weights stand in for ones that are gone."""
    config = run.read_config(Config, list(overrides))
    weights = config.proposals.multibox.weights
    if weights is None or weights.is_file() or not run.multibox_path.is_file():
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


def check_overrides(trained: Config, wished: Config, classes: Sequence[str], where: Path) -> None:
    """Raise ConfigError where settings differ from the `trained` ones that a detector cannot act on any more.

    Classes that are named in the settings are those of the detector, `classes`; a file of them is for test data.
    """
    for section in TRAINED:
        own, given = getattr(trained, section), getattr(wished, section)
        for name in type(own).model_fields:
            one, other = getattr(own, name), getattr(given, name)
            if one != other and f"{section}.{name}" not in SWITCHES:
                wanted = f"what the detector was trained with, {one}"
                raise ConfigError(f"{section}.{name} must be {wanted}, got {other} ({where})")
    named = wished.data.classes
    if isinstance(named, tuple) and named not in (trained.data.classes, tuple(classes)):
        known, given = ", ".join(classes), ", ".join(named)
        raise ConfigError(f"data.classes must be those of the detector, {known}, got {given} ({where})")
