"""Running a trainer to its end: progress, metrics.csv, checkpoints, interrupts."""

import csv
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import astuple, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from detector.config import LogSettings, TrainingSettings
from detector.files import open_text, share_file, write_atomically
from detector.progress import progress_bar
from detector.runs.best import Best
from detector.runs.board import Board, make_board
from detector.runs.checkpoints import Checkpoint
from detector.runs.interrupt import interrupts_noted
from detector.runs.number_tables import read_table
from detector.runs.processes import AnyProcess, Group
from detector.training.loop import Batch, DoneStep, Net, StepResult, Trainer


def run_steps(
    trainer: Trainer[Net, Batch],
    batches: Iterable[Batch],
    group: Group,
    checkpoint: Checkpoint,
    log: "MetricsLog",
    best: Best | None = None,
) -> None:
    """Run the remaining steps, of which `batches` are the data.

    An interrupt waits for the end of the step, so that the checkpoint it leaves is that of a whole step; in a
    group all processes stop after the same one, on GPUs a few steps later. The first process alone writes and
    shows progress.
    """
    settings = trainer.settings
    steps = trainer.schedule.steps
    if group.is_first:
        log.begin(trainer.step)
    anywhere = AnyProcess(group)
    progress = progress_bar(
        total=steps, initial=trainer.step, desc=log.label, unit="step", disable=not group.is_first
    )
    with closing(log), progress, interrupts_noted() as interrupted:
        for done in trainer.train(batches):
            progress.update()
            if group.is_first:
                log.expect(done)
                if trainer.step % settings.log_every == 0 or trainer.step == steps:
                    progress.set_postfix(log.write(trainer.step))
                if best and (judged := best.consider(trainer)):
                    log.add_judged(trainer.step, judged)
            stop = anywhere(interrupted())
            if group.is_first and (stop or trainer.step % settings.checkpoint_every == 0 or trainer.step == steps):
                checkpoint.save(trainer, log)
            if stop:
                raise KeyboardInterrupt


@dataclass
class MetricsLog:
    """A table such as metrics.csv: one row for every few steps, their means, and the samples a second.

    `columns` are the metrics of the trainer's objective, `sample` the name of what a batch holds. The `board`, if
    there is one, gets the same numbers. What a checkpoint keeps of it lets a resumed run write the same rows but
    for the samples a second, into which goes the time that was lost with the steps after the checkpoint.
    """

    path: Path
    label: str
    columns: tuple[str, ...]
    sample: str
    batch_size: int
    board: Board | None = None
    results: list[StepResult] = field(default_factory=list)
    unread: list[DoneStep] = field(default_factory=list)
    last_loss: float | None = None
    kept: Path | None = None  # where the table lies, of which `path` is a further name
    seconds: float = 0.0  # that the steps since the last row took before this process
    started: float = 0.0

    @staticmethod
    def of_images(
        run: Path, settings: TrainingSettings, columns: tuple[str, ...], log: LogSettings
    ) -> "MetricsLog":
        """The log of stage `train` of the run folder `run`, whose batches hold images."""
        board = make_board(log, run, "train")
        return MetricsLog(run / "metrics.csv", "train", columns, "image", settings.batch_size, board)

    def keep_in(self, folder: Path) -> None:
        """Keep the table in `folder`: it is shown at `path` while its settings are those of the run."""
        self.kept = folder / self.path.name

    def show(self) -> None:
        """Let the kept table, if there is one, be what is at `path`."""
        if self.kept and self.kept.is_file():
            share_file(self.kept, self.path)

    def begin(self, step: int) -> None:
        """Make the table one up to `step`: rows that a resumed run will write again are dropped."""
        header = ["step", "loss", *self.columns, "learning_rate", self._rate_name]
        table = read_table(self._table)
        kept = [row for row in table.rows if int(row[0]) <= step] if table.header == header else []
        with write_atomically(self._table) as temporary, open_text(temporary) as file:
            csv.writer(file).writerows([header, *kept])
        self.show()
        if self.board:
            self.board.begin(step)
        self.started = time.monotonic()

    def expect(self, done: DoneStep) -> None:
        """Note one step, whose numbers are read when they are needed: the device may be still at it."""
        self.unread.append(done)

    def add(self, result: StepResult) -> None:
        """Note one step."""
        self.results.append(result)
        self.last_loss = result.loss

    def state(self) -> dict[str, Any]:
        """What the next row and the last loss depend on, as plain values."""
        self._read()
        return {
            "last_loss": self.last_loss,
            "results": [astuple(result) for result in self.results],
            "seconds": self.seconds + time.monotonic() - self.started,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` returned."""
        self.last_loss = state["last_loss"]
        self.results = [StepResult(*values) for values in state["results"]]
        self.seconds = state["seconds"]

    def write(self, step: int) -> dict[str, str]:
        """Append the means of the steps since the last row; the row's losses and metrics as text to show."""
        self._read()
        results, now = self.results, time.monotonic()
        rate = len(results) * self.batch_size / (self.seconds + now - self.started)
        means = {name: fmean(result.metrics[name] for result in results) for name in self.columns}
        means = {"loss": fmean(result.loss for result in results), **means}
        row = {**means, "learning_rate": results[-1].learning_rate, self._rate_name: rate}
        with open_text(self._table, "a") as file:
            csv.writer(file).writerow([step, *(f"{number:.6g}" for number in row.values())])
        if self.board:
            self.board.add(step, row)
        self.results, self.seconds, self.started = [], 0.0, now
        return {name: f"{value:.3f}" for name, value in means.items()}

    def add_judged(self, step: int, numbers: Mapping[str, float]) -> None:
        """Show the numbers of data held out, which log.jsonl has, on the board."""
        if self.board:
            self.board.add(step, {f"held_out_{name}": number for name, number in numbers.items()})

    def close(self) -> None:
        """Close the board."""
        if self.board:
            self.board.close()

    def _read(self) -> None:
        for done in self.unread:
            self.add(done.read())
        self.unread = []

    @property
    def _table(self) -> Path:
        return self.kept or self.path

    @property
    def _rate_name(self) -> str:
        return f"{self.sample}s_per_second"
