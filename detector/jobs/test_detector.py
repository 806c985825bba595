"""Testing a detector on a split: propose, filter, features, seen, scores, detect, evaluate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from detector.config import CONTEXT, ENSEMBLE, Config, dump_config
from detector.data.dataset import Dataset
from detector.evaluation.metrics import decimal, summary_text
from detector.inference.backends import choose_backend
from detector.jobs.trained_models import (
    calibrate_models,
    image_network,
    proposals_of,
    regions_of,
    scored_by_all,
    trained_context,
    trained_models,
)
from detector.networks.backbones import backbone_facts
from detector.networks.device import choose_device
from detector.records import DetectionTable, Report
from detector.runs.environment import environment_notes
from detector.runs.folder import RunFolder
from detector.runs.history import stage_seconds, training_logs
from detector.runs.job import Job
from detector.runs.processes import Group, alone
from detector.runs.split import Split, open_split
from detector.runs.store import Store
from detector.stages.detect import run_detect
from detector.stages.evaluate import Reports, RunFacts, run_evaluate
from detector.stages.image_features import run_image_features
from detector.stages.region_cut import Cut, compare_regions
from detector.stages.region_features import run_test_features
from detector.stages.score_sources import (
    FeatureScores,
    NetworkScores,
    RescoredScores,
    ScoreSource,
    check_classes,
    check_region,
    store_scores,
)


@dataclass(frozen=True)
class Outcome:
    """What a test ended with: the data set, its reports (None without objects), the folder of the results.

    `cut` is what a cascade left of the regions, where there is one.
    """

    dataset: Dataset
    reports: Reports | None
    folder: Path
    cut: Cut | None = None

    @property
    def report(self) -> Report | None:
        """The report of the method that the run is about."""
        return None if self.reports is None else self.reports.report


def run_testing(run: RunFolder, config: Config, splits: Sequence[str], group: Group | None = None) -> Outcome:
    """Test the trained detector of `run` on other splits; the report goes to `report_SPLIT/`."""
    job = Job(run, config, alone())
    model = trained_models(job)[0]
    job = Job(run, config, group or alone(choose_device(config.engine.device)))  # a wrong one is told now
    testing = open_split(config.data, splits)
    check_classes(testing.dataset, model.network)
    check_region(config.region, model.network)
    choose_backend(config.engine)
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
        by_svm = config.method.by_svm if name == ENSEMBLE else name.startswith("svm")
        stage = job.stage("detect", testing.name, name)
        tables[name] = run_detect(stage, testing, regions, source, config.detect, by_svm, config.engine)
        results = stage.folder
    reports = run_evaluate(
        job.stage("evaluate", testing.name),
        testing,
        regions,
        tables,
        config.reported,
        config.evaluate,
        config.seed,
        partial(run_facts, job, testing.dataset),
        folder,
    )
    cut = compare_regions(testing.dataset, proposals_of(job, testing), regions) if config.cascade.is_used else None
    return Outcome(testing.dataset, reports, folder if reports else results, cut)


def score_sources(job: Job[Config], testing: Split, regions: Store) -> dict[str, ScoreSource]:
    """The ways to score the test split, by name, the one that the run reports last."""
    config, models = job.config, trained_models(job)
    first = models[0]
    methods = sorted(config.methods, key=lambda method: method == config.method)
    sources: dict[str, ScoreSource] = {}
    if (first.svm or first.boxes) and not config.detect.iterations:
        stage = job.stage("features", testing.name)
        features = run_test_features(
            stage, testing, regions, first.network, first.boxes, config.region, config.engine
        )
        sources |= {method.name: FeatureScores(first, features, method) for method in methods}
    else:
        sources |= {
            method.name: NetworkScores([first.by(method)], config.engine, config.detect) for method in methods
        }
    if config.ensemble.is_used:
        sources[ENSEMBLE] = scored_by_all(job, models)
    if config.context.is_used:
        sources |= _rescored(job, testing, regions, *next(reversed(sources.items())))
    return sources


def _rescored(
    job: Job[Config], testing: Split, regions: Store, name: str, source: ScoreSource
) -> dict[str, ScoreSource]:
    """The last of the sources, called `name`, and its rescoring: both are reported."""
    config, context = job.config, trained_context(job.run, job.config)
    stage = job.stage("seen", testing.name)
    seen = run_image_features(stage, testing, regions, image_network(job), config.engine)
    if isinstance(source, NetworkScores):
        source = store_scores(job.stage("scores", testing.name), testing, regions, source, config.engine)
    return {name: source, CONTEXT: RescoredScores(source, context, seen)}


def run_facts(job: Job[Config], dataset: Dataset) -> RunFacts:
    """What the report tells of the run."""
    return RunFacts(
        job.config.name,
        training_logs(job.run),
        stage_seconds(job.run),
        _provenance(job, dataset),
        dump_config(job.config),
    )


def _provenance(job: Job[Config], dataset: Dataset) -> dict[str, str]:
    """Where the report's numbers come from."""
    config, finetune = job.config, job.stage("finetune").facts()
    network = backbone_facts(config.network.variant)
    return {
        "Data": f"{dataset.name}: {len(dataset)} images, {len(dataset.objects.labels)} objects",
        "Notes on the data": "; ".join(dataset.notes) or "none",
        "Network": f"{network.title}, {finetune.get('steps', '?')} steps of fine-tuning",
        "Regions": f"{_regions_text(config)}, crops of {config.region.crop_size} pixels",
        **environment_notes(),
    }


def _regions_text(config: Config) -> str:
    """Where the regions come from."""
    source, cascade = config.proposals.source, config.cascade
    return f"{source}, the best {cascade.keep} of an image by the cascade" if cascade.is_used else source


def outcome_text(outcome: Outcome) -> str:
    """What a command prints at its end: the mAP table and where the results are."""
    kept = f"{outcome.cut.text()}\n" if outcome.cut else ""
    if outcome.report is None or outcome.reports is None:
        return f"{kept}{outcome.dataset.name} has no objects to evaluate against; detections: {outcome.folder}\n"
    table = summary_text(outcome.report, outcome.dataset.classes)
    return f"{table}\n{_methods_text(outcome.reports.all)}{kept}report: {outcome.folder / 'index.html'}\n"


def _methods_text(reports: Mapping[str, Report]) -> str:
    """The mean AP of each method, where there are several."""
    if len(reports) < 2:
        return ""
    width = max(map(len, reports))
    return "".join(f"{name:{width}}  {decimal(report.mean_ap)}\n" for name, report in reports.items()) + "\n"
