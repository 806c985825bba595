"""What a training reads, opened and checked before any work."""

from dataclasses import dataclass

from detector.config import Config
from detector.inference.backends import choose_backend
from detector.inference.models import check_weights
from detector.jobs.trained_models import further_models
from detector.networks.backbones import backbone_facts
from detector.networks.backbones.base import check_frozen
from detector.runs.board import check_tensorboard
from detector.runs.job import Job
from detector.runs.split import Split, open_split
from detector.stages.cascade_network import check_cascade
from detector.stages.context import check_apart
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
    """All data that the settings name."""
    data, context = config.data, config.context
    named = (config.finetune.validation, config.ensemble.fit_weights, context.splits if context.is_used else ())
    held_out = (open_split(data, names) if names else None for names in named)
    return Splits(open_split(data, data.train), open_split(data, data.test), *held_out)


def check_settings(job: Job[Config], splits: Splits, task: NetworkTask) -> None:
    """Tell what is wrong now, not after hours of proposals."""
    config, training = job.config, splits.training.dataset
    choose_backend(config.engine)
    facts = backbone_facts(config.network.variant)
    for key in ("pretrain", "finetune"):
        check_frozen(facts, getattr(config, key).frozen_stages, f"{key}.frozen_stages")
    check_tensorboard(config.log)
    for key, held_out in (("ensemble.fit_weights", splits.weighed), ("context.splits", splits.context)):
        if held_out:
            check_apart(key, training, held_out.dataset)
    check_image_network(config.context, config.network)
    check_cascade(config.cascade, config.network.variant)
    make_finetuner(config.finetune, task, training.classes.names, config.joint_boxes, job.group, config.seed)
    check_weights(config.ensemble, config.ensemble.members + len(further_models(config.ensemble)))
