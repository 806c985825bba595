"""A job: one run at work, by its settings, on one process or many."""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from detector.config import Section
from detector.runs.folder import RunFolder
from detector.runs.processes import Group
from detector.runs.stage import Stage

Settings = TypeVar("Settings", bound=Section)


@dataclass(frozen=True)
class Job(Generic[Settings]):
    """What every step of a job needs: the folder of the run, its whole settings, and the processes at work."""

    run: RunFolder
    config: Settings
    group: Group

    def stage(self, *names: str) -> Stage:
        """The stage called `names[0]`, of the part that the further names call."""
        return self.run.stage(*names, group=self.group)

    def member(self, number: int) -> "Job[Settings]":
        """The job of the ensemble's model `number`; of 0 it is this one."""
        return replace(self, run=self.run.member(number))
