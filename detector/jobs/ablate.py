"""What each part of an ensemble and of its context is worth, and what it costs.

Every model scores every region once in every view; averages, rescorings and box voting are made of that.
"""

from collections.abc import Sequence

from detector.config import Config
from detector.errors import DataError
from detector.jobs.ablated_runs import ablation_folder
from detector.jobs.ablation_judge import Judge, time_ways
from detector.jobs.ablation_notes import left_out, origin_of
from detector.jobs.ablation_table import ablation_ways, make_rows
from detector.jobs.ablation_views import open_context, rescored_views, score_views
from detector.jobs.held_out import open_tested
from detector.jobs.trained_models import trained_ensemble, trained_models
from detector.jobs.ways_to_score import calibrate_models, check_tested
from detector.progress import progress_bar
from detector.reports.ablation_report import AblationReport, write_ablation
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import Group

TIMED_REGIONS = 600  # about so many regions are scored to take the time of a row


def run_ablation(
    run: RunFolder, config: Config, splits: Sequence[str], group: Group, timed_regions: int = TIMED_REGIONS
) -> AblationReport:
    """Evaluate one model, its views, more and more models, context and box voting on the images of `splits`.

    Mean AP is that over the classes with objects. Context is learned anew for each average, on `context.splits`.
    The report goes to `ablation_folder`.
    """
    testing = open_tested(config, splits)
    dataset = testing.dataset
    if not len(dataset.objects.labels):
        raise DataError(f"{dataset.name} must have objects to tell what a detector's parts are worth, got none")
    job = Job(run, config, group)
    models = [model.by(config.method) for model in trained_models(job)]
    check_tested(job, testing)
    if group.is_first:
        run.log_notes([*dataset.notes, *left_out(config.detect)])
    learned = open_context(config)
    calibrate_models(job)
    config = config.model_copy(update={"ensemble": trained_ensemble(run, config)})
    job = Job(run, config, group)
    views = score_views(job, testing, models)
    rescored = rescored_views(job, *learned, views, models) if learned else None
    judge = Judge(config, views, rescored)
    ways = list(ablation_ways(views.views, rescored is not None))
    results = {way.name: judge.mean_aps(way) for way in progress_bar(ways, "evaluate", unit="row", leave=False)}
    seconds = time_ways(config, views, models, ways, timed_regions)
    report = AblationReport(
        run.path.resolve().name,
        config.evaluate.protocol,
        make_rows(ways, results, seconds),
        f"the {len(models)} models",
        origin_of(config, views),
    )
    if group.is_first:
        write_ablation(ablation_folder(run, splits), report)
    return report
