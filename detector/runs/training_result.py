"""Results that are trained networks: from the last checkpoint to the weights, on one process or many."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from detector.errors import ConfigError
from detector.files import share_file
from detector.runs.best import Best
from detector.runs.checkpoints import Checkpoint
from detector.runs.environment import environment
from detector.runs.part_result import are_kept
from detector.runs.processes import Group
from detector.runs.stage import HASHES, Result, file_hashes
from detector.runs.train_loop import MetricsLog, run_steps
from detector.training.loop import Batch, DivergedError, Net, Trainer

CHECKPOINT = "last.pt"
UNTRAINED = {"checkpoint_every", "log_every"}  # settings that do not change what is trained


def check_shares(key: str, number: int, group: Group) -> None:
    """Raise ConfigError unless the processes of `group` can share out the `number` of the setting `key` evenly."""
    if number % group.world:
        raise ConfigError(f"{key} must be a multiple of the {group.world} processes, got {number}")


def run_trainer(
    result: Result,
    trainer: Trainer[Net, Batch],
    batches: Callable[[Trainer[Net, Batch]], Iterable[Batch]],
    log: MetricsLog,
    output: Path,
    save: Callable[[Path, Net], None],
    best: Best | None = None,
    beside: Sequence[Path] = (),
) -> Path:
    """Train to the end, and `save` the weights to test; nothing where it is done.

    `batches` gives what is left to train on, from the trainer's step on. The weights to test are the `best`, or
    without it the last. They and the table of `log` lie with the result, and the run shows those of its present
    settings at `output`, which is returned, and at the log's own path; `beside` are where it shows further files
    of tensors, which `save` writes beside the weights under the same names. DivergedError names the stage whose
    numbers are finite no more; nothing of it is saved.
    """
    group, weights = result.group, result.folder / output.name
    shown = {result.folder / path.name: path for path in (output, *beside)}
    log.keep_in(result.folder)
    if not (result.is_done() and group.from_first(group.is_first and are_kept(result, shown))):
        result.begin()
        _train(result, trainer, batches, log, best)
        if group.is_first:
            network = trainer.tested_network()
            facts = best.load(network) if best else {}
            save(weights, network)
            facts |= {HASHES: file_hashes(shown), "environment": environment()}
            result.finish(steps=trainer.step, last_loss=log.last_loss, **facts)
    if group.is_first:
        for file, path in shown.items():
            share_file(file, path)
        log.show()
    group.wait()
    return output


def _train(
    result: Result,
    trainer: Trainer[Net, Batch],
    batches: Callable[[Trainer[Net, Batch]], Iterable[Batch]],
    log: MetricsLog,
    best: Best | None,
) -> None:
    checkpoint = Checkpoint(result.folder / CHECKPOINT, result.key)
    checkpoint.load(trainer, log)
    if best:
        best.check(trainer)
    try:
        run_steps(trainer, batches(trainer), result.group, checkpoint, log, best)
    except DivergedError as error:
        raise DivergedError(f"{result.stage.name}: {error}") from None
