"""Ablations of several runs: their folders, whether they can be joined, and one report of all."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from detector.config import Config
from detector.errors import DataError
from detector.jobs.ablation_judge import row_voting_iou
from detector.jobs.ablation_table import join_tables
from detector.jobs.trained_models import trained_models
from detector.reports.ablation_report import AblationReport
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.runs.split import split_slug


def ablation_folder(run: RunFolder, splits: Sequence[str]) -> Path:
    """Where the report of a run's ablation is."""
    return run.path / f"ablation_{split_slug(splits)}"


def check_alike(runs: Sequence[RunFolder], configs: Sequence[Config]) -> None:
    """Raise DataError unless all runs' ablations have the same rows, of the same data, by the same protocol."""
    first, *others = (_rows_text(run, config) for run, config in zip(runs, configs, strict=True))
    for run, other in zip(runs[1:], others, strict=True):
        if other != first:
            raise DataError(
                f"runs must be alike to be joined, got {other} ({run.path}) for {first} ({runs[0].path})"
            )


def _rows_text(run: RunFolder, config: Config) -> str:
    """What decides the rows of a run's ablation, and what they are of."""
    ensemble, region = config.ensemble, config.region
    parts = [
        f"{len(trained_models(Job(run, config, alone())))} models",
        f"data of {config.data.root}",
        f"padding {region.padding} of {region.crop_size}",
        *(f"further padding {padding}" for padding in ensemble.paddings),
        *(["mirrored"] if ensemble.mirror else []),
        *([f"context {'after' if config.context.after_nms else 'before'} NMS"] if config.context.is_used else []),
        config.evaluate.protocol,
        f"NMS {config.detect.nms}",
        f"box voting at IoU {row_voting_iou(config.detect):g}",
    ]
    return ", ".join(parts)


def join_ablations(reports: Sequence[AblationReport]) -> AblationReport:
    """One report of several runs that differ in their seeds, with standard errors over the runs."""
    return replace(
        reports[0],
        name=", ".join(report.name for report in reports),
        rows=join_tables([report.rows for report in reports]),
        over=f"{len(reports)} runs",
    )
