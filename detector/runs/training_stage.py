"""The stage that trains a network from its last checkpoint to its weights, on one process or many."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from detector.errors import ConfigError
from detector.runs.best import Best
from detector.runs.checkpoints import Checkpoint
from detector.runs.folder import Stage, key_of
from detector.runs.part_stage import is_whole
from detector.runs.processes import Group
from detector.runs.train_loop import MetricsLog, run_steps
from detector.training.loop import DivergedError, StepBatch, Trainer

Net = TypeVar("Net", bound=nn.Module)
Batch = TypeVar("Batch", bound=StepBatch)


def check_shares(key: str, number: int, group: Group) -> None:
    """Raise ConfigError unless the processes of `group` can share out the `number` of the setting `key` evenly."""
    if number % group.world:
        raise ConfigError(f"{key} must be a multiple of the {group.world} processes, got {number}")


def run_training_stage(
    stage: Stage,
    inputs: Mapping[str, Any],
    group: Group,
    trainer: Trainer[Net, Batch],
    batches: Callable[[Trainer[Net, Batch]], Iterable[Batch]],
    log: MetricsLog,
    output: Path,
    save: Callable[[Net], None],
    best: Best | None = None,
) -> None:
    """Train to the end, `save` the weights to test at `output`, and finish the stage; nothing where it is done.

    `batches` gives what is left to train on, from the trainer's step on. The weights to test are the `best`, or
    without it the last. DivergedError names the stage whose numbers are finite no more; nothing of it is saved.
    """
    if group.from_first(group.is_first and stage.is_done(inputs) and is_whole(output)):
        return
    if group.is_first:
        stage.begin(inputs)
    group.wait()  # until an outdated checkpoint is gone
    checkpoint = Checkpoint(stage.folder / "last.pt", key_of(inputs))
    checkpoint.load(trainer, log)
    if best:
        best.check(trainer)
    try:
        run_steps(trainer, batches(trainer), group, checkpoint, log, best)
    except DivergedError as error:
        raise DivergedError(f"{stage.name}: {error}") from None
    if group.is_first:
        network = trainer.tested_network()
        facts = best.load(network) if best else {}
        save(network)
        stage.finish(inputs, steps=trainer.step, last_loss=log.last_loss, **facts)
    group.wait()
