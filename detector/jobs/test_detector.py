"""Testing a detector on a split: propose, filter, features, seen, scores, detect, evaluate."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from detector.config import Config
from detector.jobs.explain_worst import explain_worst
from detector.jobs.held_out import open_tested
from detector.jobs.outcome import Outcome
from detector.jobs.provenance import run_facts
from detector.jobs.trained_models import proposals_of, regions_of, trained_models
from detector.jobs.ways_to_score import calibrate_models, check_tested, score_sources
from detector.records import DetectionTable
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import Group, alone_on
from detector.runs.split import Split
from detector.stages.detect import run_detect
from detector.stages.evaluate import EvaluationTask, run_evaluate
from detector.stages.region_cut import compare_regions


def run_testing(run: RunFolder, config: Config, splits: Sequence[str], group: Group | None = None) -> Outcome:
    """Test the trained detector of `run` on other splits; the report goes to `report_SPLIT/`."""
    job = Job(run, config, group or alone_on(config.engine.device))
    trained_models(job)  # that there is none is told before the data are opened
    testing = open_tested(config, splits)
    check_tested(job, testing)
    if job.group.is_first:
        run.log_notes(testing.dataset.notes)
    calibrate_models(job)
    return run_test(job, testing, run.path / f"report_{testing.name}")


def run_test(job: Job[Config], testing: Split, folder: Path) -> Outcome:
    """Detect in the images of a split by every way that was trained, and report how good each is."""
    config = job.config
    regions = regions_of(job, testing)
    tables: dict[str, DetectionTable] = {}
    for name, source in score_sources(job, testing, regions).items():
        stage = job.stage("detect", testing.name, name)
        tables[name] = run_detect(stage, testing, regions, source, config.detect, config.engine)
        results = stage.folder
    reports = run_evaluate(
        job.stage("evaluate", testing.name),
        EvaluationTask(testing, regions, config.reported, config.evaluate, config.seed),
        tables,
        partial(run_facts, job, testing, tables),
        folder,
        partial(explain_worst, job, testing),
    )
    cut = compare_regions(testing.dataset, proposals_of(job, testing), regions) if config.cascade.is_used else None
    return Outcome(testing.dataset, reports, folder if reports else results, cut)
