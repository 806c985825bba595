"""What a run learns after its models: a cascade, the models' weights in their average, rescoring by context."""

from detector.config import Config
from detector.jobs.train_model import Labelled
from detector.jobs.trained_models import (
    context_task,
    image_network,
    regions_of,
    scored_by_all,
    seen_images,
    trained_models,
)
from detector.runs.job import Job
from detector.runs.pretrained import weights_file
from detector.runs.split import Split
from detector.stages.cascade import run_cascade
from detector.stages.cascade_network import map_look, small_region
from detector.stages.context import SplitScores, run_context, run_context_rows
from detector.stages.drawn_rows import FeatureLook, Look, run_drawn_rows
from detector.stages.ensemble_weights import run_weight_rows, run_weights
from detector.stages.image_features import image_weights, keep_image_network
from detector.stages.region_sets import TrainingRegions


def train_cascade(job: Job[Config], labelled: Labelled) -> None:
    """Learn the cheap classifier that drops regions before the detector scores them, on some training regions."""
    config, run = job.config, job.run
    if config.cascade.sees_map(config.region):
        look: Look = map_look(run.model_path, config.region)
    else:
        network = weights_file(config.cascade.weights or config.network.weights) or run.model_path
        look = FeatureLook(network, small_region(config.region, config.cascade.crop_size))
    stage = job.stage("cascade_rows")
    rows = run_drawn_rows(stage, config.cascade.images, labelled, look, config.engine, config.seed)
    run_cascade(job.stage("cascade"), rows, look, run.cascade_path)


def weigh_models(job: Job[Config], held_out: Labelled) -> None:
    """Learn how much each model of the ensemble counts, on images that no model was trained on."""
    config = job.config
    models = [model.by(config.method) for model in trained_models(job)]
    stage = job.stage("weight_rows", held_out.regions.split.name)
    rows = run_weight_rows(stage, models, config.ensemble, held_out, config.engine)
    run_weights(job.stage("weights"), rows, len(models), job.run.weights_path)


def learn_context(job: Job[Config], trained: TrainingRegions, split: Split) -> None:
    """Learn to rescore what the run would report without context, on images that no model was trained on."""
    config, run = job.config, job.run
    keep_image_network(image_weights(config.context, config.network), run.image_network_path, job.group)
    regions = regions_of(job, split)
    network = image_network(run, config)
    held_out = seen_images(job, split, regions, network)
    by_classes = "classes" in config.context.image
    training = seen_images(job, trained.split, trained.proposals, network) if by_classes else None
    task = context_task(config)
    scores = SplitScores(split, regions, scored_by_all(job))
    rows = run_context_rows(job.stage("context_rows", split.name), task, scores, config.engine)
    run_context(job.stage("context"), task, held_out, rows, training, run.context_path)
