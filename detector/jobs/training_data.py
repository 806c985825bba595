"""What a training reads, opened and checked before any work."""

from dataclasses import dataclass

from detector.config import Config, check_partners, idle_lines
from detector.inference.backends import choose_backend
from detector.inference.models import check_weights
from detector.jobs.held_out import (
    HELD_OUT,
    TESTED,
    TRAINING,
    check_apart_from_training,
    open_further,
    open_roles,
    shared_lines,
    with_lines,
)
from detector.jobs.trained_models import further_models
from detector.networks.backbones import backbone_facts
from detector.networks.backbones.base import check_frozen
from detector.runs.board import check_tensorboard
from detector.runs.job import Job
from detector.runs.split import Split, open_split
from detector.stages.cascade_network import check_cascade_network
from detector.stages.image_features import check_image_network
from detector.stages.region_trainer import make_finetuner
from detector.stages.start_network import NetworkTask


@dataclass(frozen=True)
class Splits:
    """What a training reads: the data trained on, tested on, and held out for what is learned last."""

    training: Split
    testing: Split
    validation: Split | None
    weighed: Split | None
    context: Split | None


def open_splits(config: Config) -> Splits:
    """All data that the settings name; ConfigError for settings that would have no effect.

    DataError where splits share images that must be apart; other shared images are told by the notes of the
    tested data.
    """
    check_partners(config)
    training = open_split(config.data, config.data.train)
    learned = {TRAINING: training} if TRAINING.names(config) else {}
    further, lines = open_further(config)
    opened = {**learned, **further, **open_roles(config, (*HELD_OUT, TESTED))}
    check_apart_from_training(opened)
    testing = with_lines(opened[TESTED], [*shared_lines(opened), *lines])
    return Splits(training, testing, *(opened.get(role) for role in HELD_OUT))


def check_settings(job: Job[Config], splits: Splits, task: NetworkTask) -> None:
    """Raise the errors of the settings now, not after hours of proposals."""
    config, training = job.config, splits.training.dataset
    choose_backend(config.engine)
    facts = backbone_facts(config.network.variant)
    for key in ("pretrain", "finetune"):
        check_frozen(facts, getattr(config, key).frozen_stages, f"{key}.frozen_stages")
    check_tensorboard(config.log)
    check_image_network(config.context, config.network)
    check_cascade_network(config.cascade, config.network.variant)
    make_finetuner(config.finetune, task, training.classes.names, config.joint_boxes, job.group, config.seed)
    check_weights(config.ensemble, config.ensemble.members + len(further_models(config.ensemble)))
    if job.group.is_first:
        job.run.log_notes(idle_lines(config))
