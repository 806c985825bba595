"""Which splits of a run must hold other images than which: one table of what each is for, looked at in one place.

What is learned last needs images that no model is trained on, or it learns how well they are known by heart:
`check_apart_from_training` refuses others. A test goes on where anything was learned from its images, but never
without a word: the lines of `shared_lines` are shown at the start, and stand in the report.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detector.config import Config
from detector.errors import UserError
from detector.runs.split import Split, open_split
from detector.stages.context import check_apart


@dataclass(frozen=True)
class Role:
    """What the splits of a setting are for; `names` are those that count, () where nothing asks for them."""

    key: str
    use: str  # of the images
    names: Callable[[Config], Sequence[str]]


def _learned_from(config: Config) -> Sequence[str]:
    return config.data.train if config.learns or config.pretrain.steps else ()


TRAINING = Role("data.train", "the models are trained on", _learned_from)
VALIDATION = Role("finetune.validation", "the weights to test are chosen by", lambda c: c.finetune.judged_on)
WEIGHED = Role("ensemble.fit_weights", "the models' weights are learned from", lambda c: c.ensemble.weighed_on)
CONTEXT = Role("context.splits", "the rescoring is learned from", lambda config: config.context.splits)
TESTED = Role("data.test", "are tested on", lambda config: config.data.test)
HELD_OUT = (VALIDATION, WEIGHED, CONTEXT)

# of each pair the first is learned from, and the second must hold other images
REFUSED = tuple((TRAINING, role) for role in HELD_OUT)
TOLD = (*((role, TESTED) for role in (TRAINING, *HELD_OUT)), (VALIDATION, WEIGHED), (VALIDATION, CONTEXT))

Opened = Mapping[Role, Split]


def open_roles(config: Config, roles: Sequence[Role]) -> dict[Role, Split]:
    """The splits of the roles that the settings ask for."""
    return {role: open_split(config.data, role.names(config)) for role in roles if role.names(config)}


def check_apart_from_training(opened: Opened) -> None:
    """Raise DataError for images that are held out for something and that the models are trained on."""
    for first, second in REFUSED:
        if first in opened and second in opened:
            check_apart(second.key, opened[first].dataset, opened[second].dataset)


def shared_lines(opened: Opened) -> Iterator[str]:
    """A line for each two splits that should be apart, and share images all the same."""
    for first, second in TOLD:
        if first in opened and second in opened:
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

    The training split, which may be large, is opened only where one of its names is tested on. Others that are
    no longer there are named.
    """
    opened, lines = {TESTED: open_split(config.data, names)}, []
    roles = (TRAINING, *HELD_OUT) if set(names) & set(config.data.train) else HELD_OUT
    for role in roles:
        try:
            opened |= open_roles(config, (role,))
        except UserError as error:
            lines.append(f"{role.key} cannot be compared with the images tested on: {error}")
    return with_lines(opened[TESTED], [*shared_lines(opened), *lines])
