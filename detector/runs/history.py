"""The history of a run, read from its folder: training curves and the times of the stages."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from detector.files import read_bytes
from detector.records import Float64
from detector.reports.detection.report import TrainingLog
from detector.runs.folder import RunFolder
from detector.runs.number_tables import STEP, read_table

TRAININGS = {"pretrain": "pretrain.csv", "finetune": "metrics.csv"}  # stages and their tables
TITLES = {"pretrain": "Pretraining on the objects' boxes", "finetune": "Fine-tuning on regions"}


def training_logs(run: RunFolder, pretrained: bool) -> list[TrainingLog]:
    """The trainings of `run`, in order, without those whose table is missing or empty. Damaged rows are logged.

    A table of pretraining is left out unless the models are `pretrained`: it is of earlier settings.
    """
    logs = []
    for stage, file in TRAININGS.items():
        if stage == "pretrain" and not pretrained:
            continue
        table = read_table(run.path / file)
        run.log_notes(table.notes)
        if table.rows:
            columns = _columns(table.header, table.rows)
            steps = columns.pop(STEP)
            judged = _judgements(run, stage)
            judged_steps = judged.pop(STEP, np.empty(0))
            logs.append(TrainingLog(TITLES[stage], steps, columns, judged_steps, judged))
    return logs


def stage_seconds(run: RunFolder) -> dict[str, float]:
    """How long each stage took to its present result, in the order in which these were done."""
    seconds: dict[str, float] = {}
    for event in _events(run):
        match event:
            case {"event": "stage done", "stage": str(stage), "seconds": float() | int() as took}:
                if event.get("key") == _present_key(run, stage):
                    seconds.pop(stage, None)
                    seconds[stage] = float(took)
    return seconds


def _judgements(run: RunFolder, stage: str) -> dict[str, Float64]:
    """The numbers of held-out data in a training of the present settings; of a repeated step the last."""
    rows: dict[int, dict[str, float]] = {}
    key = _present_key(run, stage)
    for event in _events(run):
        match event:
            case {"event": "judged", "step": int(step), **numbers} if numbers.get("key") == key:
                rows[step] = {name: value for name, value in numbers.items() if isinstance(value, (int, float))}
    whole = [{STEP: step, **rows[step]} for step in sorted(rows)]
    names = whole[-1] if whole else {}
    return _columns(list(names), [list(row.values()) for row in whole if row.keys() == names.keys()])


def _present_key(run: RunFolder, stage: str) -> object:
    """The key of what the run's present settings made."""
    return run.stage(*stage.split("/")).facts().get("key")


def _columns(names: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, Float64]:
    """Rows of numbers, or of their texts, as columns."""
    table = np.array(rows, np.float64).reshape(len(rows), len(names))
    return {name: table[:, number] for number, name in enumerate(names)}


def _events(run: RunFolder) -> Iterator[dict[str, Any]]:
    """The lines of log.jsonl; one that a kill cut, or that is damaged otherwise, is left out."""
    path = run.path / "log.jsonl"
    if not path.exists():
        return
    for line in read_bytes(path, "log").split(b"\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # it is no JSON, or no UTF-8
            continue
        if isinstance(event, dict):
            yield event
