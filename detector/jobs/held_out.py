"""Keeping the splits of a run apart: what each is used for, and which of them may share no images.

Whatever is learned after the models (the choice of the best weights, the models' weights, context) needs images
that no model was trained on, or it learns from scores that are too good: `check_apart_from_training` refuses
images that are. A test on images that something was learned from goes on, but the lines of `shared_lines` say so
at its start and in the report.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.config import Config, DataSettings
from detector.errors import UserError
from detector.runs.folder import RunFolder
from detector.runs.split import Split, open_split
from detector.stages.context import check_apart


@dataclass(frozen=True)
class Role:
    """What the splits of a setting are used for; `names` gives the splits, () where the settings use none."""

    key: str
    use: str  # ends the clause "images that ..."
    names: Callable[[Config], Sequence[str]]
    trains: bool = False


def _learned_from(config: Config) -> Sequence[str]:
    return config.data.train if config.learns or config.pretrain.steps else ()


TRAINING = Role("data.train", "the models are trained on", _learned_from, trains=True)
VALIDATION = Role("finetune.validation", "the weights to test are chosen by", lambda c: c.finetune.judged_on)
WEIGHED = Role("ensemble.fit_weights", "the models' weights are learned from", lambda c: c.ensemble.weighed_on)
CONTEXT = Role("context.splits", "the rescoring is learned from", lambda config: config.context.splits)
TESTED = Role("data.test", "are tested on", lambda config: config.data.test)
HELD_OUT = (VALIDATION, WEIGHED, CONTEXT)

Opened = Mapping[Role, Split]
Pairs = Iterator[tuple[Role, Role]]  # the first is learned from, the second must hold other images


def refused_pairs(opened: Opened) -> Pairs:
    """The pairs that must share no image: training data, and data held out."""
    trained = [role for role in opened if role.trains]
    yield from ((first, second) for second in HELD_OUT if second in opened for first in trained)


def told_pairs(opened: Opened) -> Pairs:
    """The pairs that should share no image: learned from and tested; validation and what is learned after it."""
    if TESTED in opened:
        yield from ((role, TESTED) for role in opened if role != TESTED)
    if VALIDATION in opened:
        yield from ((VALIDATION, role) for role in (WEIGHED, CONTEXT) if role in opened)


def open_roles(config: Config, roles: Sequence[Role]) -> dict[Role, Split]:
    """The splits of the roles that the settings ask for."""
    return {role: open_split(config.data, role.names(config)) for role in roles if role.names(config)}


def open_further(config: Config) -> tuple[dict[Role, Split], list[str]]:
    """The training splits of the ensemble's further runs, without this run's; a line for each that is gone."""
    return _open_there(_further_roles(config))


def _further_roles(config: Config) -> Iterator[tuple[Role, DataSettings, Sequence[str]]]:
    known = [_training_data(config)]
    for path in config.ensemble.runs:
        other = RunFolder(path).read_config(Config, [])
        if TRAINING.names(other) and _training_data(other) not in known:
            known.append(_training_data(other))
            role = replace(TRAINING, key=f"data.train of {path}")
            yield role, other.data, TRAINING.names(other)


def _training_data(config: Config) -> DataSettings | None:
    """The data settings of a run without its test split; None where nothing is learned from training data."""
    return config.data.model_copy(update={"test": ()}) if TRAINING.names(config) else None


def _open_there(
    wanted: Iterable[tuple[Role, DataSettings, Sequence[str]]],
) -> tuple[dict[Role, Split], list[str]]:
    """What can still be opened of splits that were learned from, and a line for each that cannot."""
    opened: dict[Role, Split] = {}
    lines = []
    for role, data, names in wanted:
        try:
            opened[role] = open_split(data, names)
        except UserError as error:
            lines.append(f"{role.key} cannot be compared with other splits: {error}")
    return opened, lines


def check_apart_from_training(opened: Opened) -> None:
    """Raise DataError for images that are held out for something and that the models are trained on."""
    for first, second in refused_pairs(opened):
        check_apart(second.key, opened[first].dataset, opened[second].dataset)


def shared_lines(opened: Opened) -> Iterator[str]:
    """A line for each two splits that should be apart, and share images all the same."""
    for first, second in told_pairs(opened):
        paths = opened[second].dataset.paths
        both = np.intersect1d(opened[first].dataset.paths, paths)
        if len(both):
            yield (
                f"warning: {len(both)} of {len(paths)} images that {second.use} are among those that "
                f"{first.use} ({first.key}, first {both[0]}): on these, results are better than on others"
            )


def with_lines(split: Split, lines: Sequence[str]) -> Split:
    """`split` with further notes on its data, which are shown at the start and stand in the report."""
    notes = tuple(dict.fromkeys((*split.dataset.notes, *lines)))
    return replace(split, dataset=replace(split.dataset, notes=notes))


def open_tested(config: Config, names: Sequence[str]) -> Split:
    """The splits `names`, to test a trained run on, with notes on the images that it was learned from.

    The training split, which may be large, is opened only where one of its names is tested on.
    """
    tested = open_split(config.data, names)
    roles = (TRAINING, *HELD_OUT) if set(names) & set(config.data.train) else HELD_OUT
    learned, lines = _open_there((role, config.data, role.names(config)) for role in roles if role.names(config))
    further, more = open_further(config)
    return with_lines(tested, [*shared_lines({**learned, **further, TESTED: tested}), *lines, *more])
