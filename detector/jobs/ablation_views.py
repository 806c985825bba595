"""The stored scores that an ablation averages: all views of all models, on tested and on held-out images."""

from collections.abc import Sequence
from pathlib import Path

from detector.config import Config
from detector.inference.models import ModelFiles
from detector.jobs.ablation_judge import Rescored
from detector.jobs.held_out import CONTEXT, TRAINING, check_apart_from_training, open_further, open_roles
from detector.jobs.trained_models import context_task, proposals_of, regions_of, seen_images
from detector.runs.job import Job
from detector.runs.split import Split
from detector.stages.context_examples import learned_features
from detector.stages.image_features import check_image_network, image_weights, keep_image_network
from detector.stages.views import StoredViews, run_views

IMAGE_NETWORK = "ablation_image_network.safetensors"


def open_context(config: Config) -> tuple[Split, Split] | None:
    """The training data and those held out, on which context is learned; None without it."""
    if not config.context.is_used:
        return None
    opened = open_roles(config, (TRAINING, CONTEXT))
    check_apart_from_training({**opened, **open_further(config)[0]})
    check_image_network(config.context, config.network)
    return opened[TRAINING], opened[CONTEXT]


def score_views(job: Job[Config], split: Split, models: Sequence[ModelFiles]) -> StoredViews:
    """What all views of the models say of a split's regions."""
    regions = regions_of(job, split)
    return run_views(
        job.stage("views", split.name), split, regions, models, job.config.ensemble, job.config.engine
    )


def rescored_views(
    job: Job[Config], training: Split, held_out: Split, tested: StoredViews, models: Sequence[ModelFiles]
) -> Rescored:
    """What learns rescorings of averages of views on the run's held-out data."""
    context, device = job.config.context, str(job.group.device)
    network = _image_network(job)
    views = score_views(job, held_out, models)
    by_classes = "classes" in context.image
    trained_on = seen_images(job, training, proposals_of(job, training), network) if by_classes else None
    task = context_task(job.config)
    return Rescored(
        task,
        learned_features(task, trained_on, device),
        views,
        seen_images(job, held_out, views.proposals, network),
        seen_images(job, tested.split, tested.proposals, network).seen,
        device,
    )


def _image_network(job: Job[Config]) -> Path:
    """The file of the network that sees whole images, beside the run's own, which may be another."""
    weights = image_weights(job.config.context, job.config.network)
    if weights is None:
        return job.run.model_path
    kept = job.run.path / IMAGE_NETWORK
    keep_image_network(weights, kept, job.group)
    return kept
