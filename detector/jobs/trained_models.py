"""What a run has trained, checked and opened for the jobs that use it: models, regions, scores."""

from collections.abc import Sequence
from pathlib import Path

from detector.config import Config, EnsembleSettings
from detector.errors import DataError
from detector.inference.models import CascadeFiles, ModelFiles
from detector.jobs.model_check import check_cascade, check_models, check_rescoring, check_weights
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.split import Split
from detector.runs.store import Store
from detector.stages.context import check_context
from detector.stages.context_examples import ContextTask, SeenImages
from detector.stages.ensemble_weights import fitted_ensemble
from detector.stages.image_features import image_weights, run_image_features
from detector.stages.propose import run_propose
from detector.stages.region_cut import run_cut
from detector.stages.score_sources import NetworkScores


def trained_models(job: Job[Config]) -> list[ModelFiles]:
    """The files of the run's members, then of the ensemble's further runs.

    DataError where one is missing or of another training than the others, ConfigError where it was trained by
    other settings than the job's.
    """
    return [*_own_models(job.run, job.config), *further_models(job.config.ensemble)]


def further_models(settings: EnsembleSettings) -> list[ModelFiles]:
    """The files of all members of the ensemble's further runs, each of which has settings of its own."""
    found = []
    for path in settings.runs:
        run = RunFolder(path)
        found += _own_models(run, run.read_config(Config, []))
    return found


def _own_models(run: RunFolder, config: Config) -> list[ModelFiles]:
    members = [run.member(number) for number in range(config.ensemble.members)]
    models = [model_files(member, config) for member in members]
    check_models(run, config, models)
    return models


def model_files(run: RunFolder, config: Config) -> ModelFiles:
    """The files of one model; DataError where one is missing."""
    model = ModelFiles(
        run.model_path,
        run.svm_path if config.svm.enabled else None,
        run.boxes_path if config.boxes.enabled else None,
    )
    for path in model.reads.values():
        if not path.is_file():
            raise DataError(f"run must hold a trained model, got none at {path}")
    return model


def trained_cascade(run: RunFolder, config: Config) -> CascadeFiles | None:
    """The files of the run's cascade, None where it is not used; DataError where it is and there is none."""
    if not config.cascade.is_used:
        return None
    if not run.cascade_path.is_file():
        raise DataError(f"run must hold a cascade, got none at {run.cascade_path}; cascade.keep=0 does without")
    check_cascade(run, config)
    return CascadeFiles(run.cascade_path, run.model_path)


def trained_ensemble(run: RunFolder, config: Config) -> EnsembleSettings:
    """The settings of the ensemble, with the weights that the run learned of its models where they ask for it."""
    ensemble = fitted_ensemble(run.weights_path, config.ensemble)
    if config.ensemble.fit_weights:
        check_weights(run, config, further_models(config.ensemble))
    return ensemble


def trained_context(run: RunFolder, config: Config) -> Path:
    """The file of the run's rescoring; DataError where there is none, or one of other scores or models."""
    path = check_context(run.context_path, context_task(config).scores, run.model_path)
    check_rescoring(run, config, image_network(run, config), further_models(config.ensemble))
    return path


def context_task(config: Config) -> ContextTask:
    """Which scores context rescores, and how the rescoring is learned."""
    averaged = ", averaged" if config.ensemble.is_used else ""
    return ContextTask(
        config.context,
        f"{config.method.name}{averaged}",
        config.method.by_svm,
        config.evaluate.protocol,
        config.detect.nms_iou,
    )


def image_network(run: RunFolder, config: Config) -> Path:
    """The file in the run folder of the network that sees whole images."""
    has_own = image_weights(config.context, config.network) is not None
    return run.image_network_path if has_own else run.model_path


def proposals_of(job: Job[Config], split: Split) -> Store:
    """All proposals of a split."""
    config = job.config
    stage = job.stage("propose", split.name)
    return run_propose(stage, split, config.proposals, config.engine, config.seed)


def regions_of(job: Job[Config], split: Split) -> Store:
    """The regions that the detector scores: the proposals of a split, or those that the cascade keeps."""
    config, cascade = job.config, trained_cascade(job.run, job.config)
    proposals = proposals_of(job, split)
    if cascade is None:
        return proposals
    return run_cut(job.stage("filter", split.name), split, proposals, cascade, config.cascade, config.engine)


def seen_images(job: Job[Config], split: Split, regions: Store, network: Path) -> SeenImages:
    """The features that the network in a file has of the whole images of a split."""
    seen = run_image_features(job.stage("seen", split.name), split, regions, network, job.config.engine)
    return SeenImages(split.dataset, seen)


def scored_by_all(job: Job[Config], models: Sequence[ModelFiles] | None = None) -> NetworkScores:
    """The scores by all models of the run, or by `models`, averaged as the settings and the run say."""
    config = job.config
    chosen = [model.by(config.method) for model in models or trained_models(job)]
    return NetworkScores(chosen, config.engine, config.detect, trained_ensemble(job.run, config))
