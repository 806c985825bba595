"""Running a trainer to its end: progress, metrics.csv, checkpoints, interrupts."""

import csv
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from torch import nn
from tqdm import tqdm

from detector.config import LogSettings, TrainingSettings
from detector.files import write_atomically
from detector.pipeline.best import Best
from detector.pipeline.board import Board, make_board
from detector.pipeline.distributed import Group
from detector.pipeline.interrupt import interrupts_noted
from detector.training.checkpoint import save_checkpoint
from detector.training.loop import StepBatch, StepResult, Trainer

Net = TypeVar("Net", bound=nn.Module)
Batch = TypeVar("Batch", bound=StepBatch)


def run_steps(
    trainer: Trainer[Net, Batch],
    batches: Iterable[Batch],
    group: Group,
    checkpoint: Path,
    log: "MetricsLog",
    best: Best | None = None,
) -> float | None:
    """Run the remaining steps, of which `batches` are the data; the last loss, None where no step was left.

    An interrupt waits for the end of the step, so that the checkpoint it leaves is that of a whole step; in a
    group all processes stop after the same one. The first process alone writes and shows progress.
    """
    settings = trainer.settings
    steps = trainer.schedule.steps
    loss = None
    if group.is_first:
        log.begin(trainer.step)
    progress = tqdm(
        total=steps, initial=trainer.step, desc=log.label, unit="step", disable=None if group.is_first else True
    )
    with closing(log), progress, interrupts_noted() as interrupted:
        for result in trainer.train(batches):
            loss = result.loss
            progress.update()
            if group.is_first:
                log.add(result)
                if trainer.step % settings.log_every == 0 or trainer.step == steps:
                    progress.set_postfix(log.write(trainer.step))
                if best and (judged := best.consider(trainer)):
                    log.add_judged(trainer.step, judged)
            stop = group.any(interrupted())
            if group.is_first and (stop or trainer.step % settings.checkpoint_every == 0):
                save_checkpoint(checkpoint, trainer.state())
            if stop:
                raise KeyboardInterrupt
    if group.is_first:
        save_checkpoint(checkpoint, trainer.state())
    return loss


@dataclass
class MetricsLog:
    """The table metrics.csv: one row for every few steps, their means, and the samples a second.

    `columns` are the metrics of the trainer's objective, `sample` the name of what a batch holds. The `board`, if
    there is one, gets the same numbers.
    """

    path: Path
    label: str
    columns: tuple[str, ...]
    sample: str
    batch_size: int
    board: Board | None = None
    results: list[StepResult] = field(default_factory=list)
    started: float = 0.0

    @staticmethod
    def of_images(
        run: Path, settings: TrainingSettings, columns: tuple[str, ...], log: LogSettings
    ) -> "MetricsLog":
        """The log of stage `train` of the run folder `run`, whose batches hold images."""
        board = make_board(log, run, "train")
        return MetricsLog(run / "metrics.csv", "train", columns, "image", settings.batch_size, board)

    def begin(self, step: int) -> None:
        """Make the table one up to `step`: rows that a resumed run will write again are dropped."""
        rows: list[list[str]] = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if row and row[0].isdecimal() and int(row[0]) <= step]
        header = ["step", "loss", *self.columns, "learning_rate", self._rate_name]
        with write_atomically(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        if self.board:
            self.board.begin(step)
        self.started = time.monotonic()

    def add(self, result: StepResult) -> None:
        """Note one step."""
        self.results.append(result)

    def write(self, step: int) -> dict[str, str]:
        """Append the means of the steps since the last row; the row's losses and metrics as text to show."""
        results, now = self.results, time.monotonic()
        rate = len(results) * self.batch_size / (now - self.started)
        means = {name: fmean(result.metrics[name] for result in results) for name in self.columns}
        means = {"loss": fmean(result.loss for result in results), **means}
        row = {**means, "learning_rate": results[-1].learning_rate, self._rate_name: rate}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([step, *(f"{number:.6g}" for number in row.values())])
        if self.board:
            self.board.add(step, row)
        self.results, self.started = [], now
        return {name: f"{value:.3f}" for name, value in means.items()}

    def add_judged(self, step: int, numbers: Mapping[str, float]) -> None:
        """Show the numbers of data held out, which log.jsonl has, on the board."""
        if self.board:
            self.board.add(step, {f"held_out_{name}": number for name, number in numbers.items()})

    def close(self) -> None:
        """Close the board."""
        if self.board:
            self.board.close()

    @property
    def _rate_name(self) -> str:
        return f"{self.sample}s_per_second"
