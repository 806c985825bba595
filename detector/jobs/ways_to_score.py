"""The ways that a run can score the regions of a split: softmax, SVMs, moved boxes, ensemble, context."""

from detector.config import CONTEXT, ENSEMBLE, Config
from detector.inference.backends import choose_backend
from detector.jobs.trained_models import (
    image_network,
    scored_by_all,
    seen_images,
    trained_context,
    trained_models,
)
from detector.runs.job import Job
from detector.runs.split import Split, open_split
from detector.runs.store import Store
from detector.stages.calibrate import calibrate
from detector.stages.region_features import run_test_features
from detector.stages.score_sources import (
    FeatureScores,
    NetworkScores,
    RescoredScores,
    ScoreSource,
    check_classes,
    store_scores,
)


def check_tested(job: Job[Config], testing: Split) -> None:
    """Raise DataError or ConfigError now for whatever keeps the run's models from being tested on a split."""
    model = trained_models(job)[0]
    check_classes(testing.dataset, model.network)
    choose_backend(job.config.engine)


def calibrate_models(job: Job[Config]) -> None:
    """Make sure that every member of the run can be quantised, where int8 is asked for."""
    config = job.config
    for number in range(config.ensemble.members):
        member = job.member(number)
        calibrate(
            member.stage("finetune"),
            member.run.model_path,
            lambda: open_split(config.data, config.data.train),
            config.region,
            config.engine,
            config.seed,
        )


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
    seen = seen_images(job, testing, regions, image_network(job.run, job.config)).seen
    if isinstance(source, NetworkScores):
        source = store_scores(job.stage("scores", testing.name), testing, regions, source, config.engine)
    return {name: source, CONTEXT: RescoredScores(source, context, seen, config.context.after_nms)}
