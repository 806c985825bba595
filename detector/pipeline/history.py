"""What a run folder tells of how it came to be: training curves and the times of the stages."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from detector.evaluation.detection_report.content import TrainingLog
from detector.pipeline.run import RunFolder
from detector.records import Float64

TRAININGS = {"pretrain": "pretrain.csv", "finetune": "metrics.csv"}  # stages and their tables
TITLES = {"pretrain": "Pretraining on the objects' boxes", "finetune": "Fine-tuning on regions"}


def training_logs(run: RunFolder) -> list[TrainingLog]:
    """The trainings of `run`, in order; none whose table is missing or empty."""
    logs = []
    for stage, file in TRAININGS.items():
        columns = _columns(run.path / file)
        steps = columns.pop("step", np.empty(0))
        if len(steps):
            judged = _table(_judgements(run)) if stage == "finetune" else {}
            judged_steps = judged.pop("step", np.empty(0))
            logs.append(TrainingLog(TITLES[stage], steps, columns, judged_steps, judged))
    return logs


def stage_seconds(run: RunFolder) -> dict[str, float]:
    """How long each stage last took, in the order in which they were done."""
    seconds: dict[str, float] = {}
    for event in _events(run):
        if event.get("event") == "stage done" and "seconds" in event:
            seconds.pop(event["stage"], None)
            seconds[event["stage"]] = float(event["seconds"])
    return seconds


def _judgements(run: RunFolder) -> list[dict[str, float]]:
    """The numbers of held-out data in the last fine-tuning; of a repeated step the last."""
    rows: dict[int, dict[str, float]] = {}
    for event in _events(run):
        if (event.get("event"), event.get("stage")) == ("stage begun", "finetune"):
            rows.clear()
        if event.get("event") == "judged":
            numbers = {name: value for name, value in event.items() if name not in ("time", "event")}
            rows[event["step"]] = numbers
    return [rows[step] for step in sorted(rows)]


def _columns(path: Path) -> dict[str, Float64]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return _table(list(csv.DictReader(file)))


def _table(rows: list[Any]) -> dict[str, Float64]:
    """Rows of numbers, or of their texts, as columns."""
    return {name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else ())}


def _events(run: RunFolder) -> Iterable[dict[str, Any]]:
    """The lines of log.jsonl; a last one that was cut by a kill is left out."""
    path = run.path / "log.jsonl"
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
