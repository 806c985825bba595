"""Whether the files of a run's model are of the settings that they are to be used by.

The network states its settings itself, and `model/` those of all its files (`runs/statement.py`). What is of the
test alone, such as proposals and suppression, may be other than in training. Files of earlier versions, which
state nothing, are taken as they are.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.config import Config, Section
from detector.errors import ConfigError, DataError
from detector.files import file_hash
from detector.inference.models import ModelFiles
from detector.jobs.stated_settings import settings_of, settings_of_model
from detector.runs.folder import RunFolder
from detector.runs.statement import read_statement
from detector.runs.training_result import UNTRAINED
from detector.stages.score_sources import check_region
from detector.text import shown

Values = Mapping[str, Any]  # settings by their names, section.key

SURE = {"batch_size", "optimizer", "learning_rate"}  # settings without which no weights are the same
AVERAGED = {"members", "mirror", "paddings"}  # what is averaged
TRAINED = ("network", "pretrain", "finetune", "svm", "boxes")  # sections that training alone reads
SWITCHES = {"svm.enabled", "boxes.enabled"}  # of what is used of it
ANEW = "train_det makes it anew"
NETWORK = "the network was trained with"


@dataclass(frozen=True)
class _Part:
    """A part of what a training made: with which settings, in words, and what to do where they are others."""

    trained: str
    settings: Callable[[Config], Values]
    remedy: str = ANEW


def paths_of(models: Sequence[ModelFiles]) -> list[Path]:
    """The files of models, one model after another."""
    return [path for model in models for path in model.reads.values()]


def check_network(config: Config, path: Path) -> None:
    """Raise ConfigError where the network in a file was trained by other settings than `config`."""
    check_region(config.region, path)
    trained = settings_of_model(path)
    if trained:
        _compare(config, trained, _Part(NETWORK, _of_network), path)


def check_overrides(trained: Config, wished: Config, where: Path) -> None:
    """Raise ConfigError where settings that training alone reads are other than the `trained` ones at `where`.

    The other checks compare those that the files state, and by which they would not be the same.
    """
    _compare(wished, trained, _Part("the detector was trained with", _of_training), where)


def check_models(run: RunFolder, config: Config, models: Sequence[ModelFiles]) -> None:
    """Raise ConfigError or DataError unless all models are of one training, by the settings in `config`."""
    for model in models:
        check_network(config, model.network)
        _check_data(run, model.network)
    _check(run, config, _Part("the models were trained with", _of_models), paths_of(models))


def check_cascade(run: RunFolder, config: Config) -> None:
    """As `check_models`, of the run's cascade."""
    part = _Part("the cascade was learned with", _of_cascade, f"{ANEW}, cascade.keep=0 does without")
    _check(run, config, part, [run.cascade_path])


def check_weights(run: RunFolder, config: Config, further: Sequence[ModelFiles]) -> None:
    """As `check_models`, of the learned weights of the run's models and of `further` ones."""
    remedy = f"{ANEW}, ensemble.fit_weights=[] does without"
    part = _Part("the weights of the models were learned with", _of_weights, remedy)
    _check(run, config, part, [run.weights_path], further)


def check_rescoring(run: RunFolder, config: Config, seen_by: Path, further: Sequence[ModelFiles]) -> None:
    """As `check_weights`, of the run's rescoring by context; images are seen by the network in `seen_by`."""
    part = _Part("the rescoring was learned with", _of_context, f"{ANEW}, context.splits=[] does without")
    _check(run, config, part, [run.context_path, seen_by], further)


def _check(
    run: RunFolder, config: Config, part: _Part, files: Sequence[Path], further: Sequence[ModelFiles] | None = None
) -> None:
    """Raise for other settings than those of a part, for files of another training, and for other runs' models."""
    statement, path = read_statement(run), run.statement_path
    if statement is None:
        return
    stated = settings_of(statement.settings, path)
    if stated:
        _compare(config, stated, part, path)
    for file in files:
        if not statement.has(run, file):
            wanted = "hold files of its last training alone"
            raise DataError(f"model must {wanted}, got one of another ({file}); {part.remedy}")
    if further is not None and [file_hash(each) for each in paths_of(further)] != statement.further:
        raise DataError(
            f"ensemble.runs must be what {part.trained}, got runs with other models ({path}); {part.remedy}"
        )


def _check_data(run: RunFolder, network: Path) -> None:
    """Raise ConfigError where `model/` does not state the network and this was trained on other data."""
    statement = read_statement(run)
    if statement is None or statement.has(run, network):
        return
    stated, trained = settings_of(statement.settings, run.statement_path), settings_of_model(network)
    if stated and trained:
        _compare(stated, trained, _Part(NETWORK, _of_data), network)


def _compare(config: Config, stated: Config, part: _Part, path: Path) -> None:
    """Raise ConfigError for the first setting of a part that is another than is stated at `path`."""
    theirs = part.settings(stated)
    for key, value in part.settings(config).items():
        if value != theirs.get(key):
            wanted, got = shown(theirs.get(key)), shown(value)
            raise ConfigError(f"{key} must be what {part.trained}, {wanted}, got {got} ({path}); {part.remedy}")


def _of_training(config: Config) -> Values:
    """What training alone reads, but for the switches of what is used of it."""
    values = [_values(name, getattr(config, name)) for name in TRAINED]
    return {key: value for each in values for key, value in each.items() if key not in SWITCHES}


def _of_network(config: Config) -> Values:
    """What a network's weights cannot be the same without, and that is no path."""
    return {
        "finetune.steps": config.finetune.steps,
        "pretrain.steps": config.pretrain.steps,
        "seed": config.seed,
        **_values("network", config.network, only={"variant", "dropout"}),
        **_values("finetune", config.finetune, without={*UNTRAINED, "validation"}),
        **(_values("pretrain", config.pretrain, only=SURE) if config.pretrain.steps else {}),
    }


def _of_data(config: Config) -> Values:
    """What says of which regions of which images a network is trained."""
    return {
        **_values("data", config.data, without={"test"}),
        **_values("proposals", config.proposals),
        **_values("network", config.network, only={"weights"}),
    }


def _of_models(config: Config) -> Values:
    """What the networks depend on, and those of their heads that are used."""
    return {
        **_of_network(config),
        **_values("network", config.network, only={"head"}),
        **_values("finetune", config.finetune, only={"validation"}),
        **(_values("pretrain", config.pretrain, without=UNTRAINED) if config.pretrain.steps else {}),
        **(_values("svm", config.svm) if config.svm.enabled else {}),
        **(_values("boxes", config.boxes) if config.boxes.enabled else {}),
    }


def _of_cascade(config: Config) -> Values:
    return _values("cascade", config.cascade, without={"keep", "nms_iou"})


def _of_weights(config: Config) -> Values:
    return {
        **_values("ensemble", config.ensemble, only={*AVERAGED, "fit_weights"}),
        "detect.method": config.method.name,
    }


def _of_context(config: Config) -> Values:
    return {
        **_values("context", config.context, without={"after_nms"}),
        **_values("ensemble", config.ensemble, only={*AVERAGED, "weights", "fit_weights"}),
        **_values(
            "detect",
            config.detect,
            only={"iterations", "iterated"} if config.detect.iterations else {"iterations"},
        ),
        "detect.method": config.method.name,
    }


def _values(name: str, section: Section, only: Set[str] | None = None, without: Set[str] = frozenset()) -> Values:
    """The settings of a section, or `only` those, `without` some, by their names."""
    values = section.model_dump(mode="json", exclude=set(without))
    return {f"{name}.{key}": value for key, value in values.items() if only is None or key in only}
