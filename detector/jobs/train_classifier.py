"""Training a classifier of whole images: train, then test, into a run folder."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from detector.config import ClassificationConfig, dump_config
from detector.data.augment import CropAugment
from detector.data.classes import write_classes
from detector.data.images import read_image
from detector.data.labelled_images import LabelledImages
from detector.jobs.test_classifier import ClassificationTest, open_images, run_classification_test
from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.backbones import check_crop, make_backbone
from detector.networks.device import choose_precision
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import load_heads, load_pretrained, save_model
from detector.records import FIRST_LABEL, Image
from detector.runs.board import check_tensorboard
from detector.runs.folder import RunFolder
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group, process_group
from detector.runs.split import labelled_key
from detector.runs.train_loop import MetricsLog
from detector.runs.training_result import check_shares, run_training
from detector.stages.region_rows import precision_name
from detector.stages.train_regions import UNTRAINED
from detector.training.batch_loading import load_batches
from detector.training.image_batches import CropSource, EpochSampler, ImageBatch, to_device
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import ImageObjective
from detector.training.schedule import Schedule

VERSION = 1  # of the stage
METRICS = ("main_loss", "top1")

Network = RegionClassifier | WithAuxiliaryHeads
ClassifierTrainer = Trainer[Network, ImageBatch]


def run_classification(run: RunFolder, config: ClassificationConfig) -> ClassificationTest | None:
    """Train on the training split, test on the test split; None in all processes but the first of a group."""
    check_tensorboard(config.log)
    with run.lock() as lock:
        with process_group(config.engine.device) as group:
            lock.take(group)
            training = open_images(config.data, config.data.train)
            testing = open_images(config.data, config.data.test, training.classes)
            trainer, preprocessing = make_classifier_trainer(config, training, group)
            if group.is_first:
                run.begin(config)
                write_classes(run.path / "classes.csv", training.classes)
                run.log_notes(dict.fromkeys(training.notes + testing.notes))
            _train(run, config, training, trainer, preprocessing, group)
        if not group.is_first:
            return None
        return run_classification_test(
            run, [run.classifier_path], testing, config.test.crops, config.data.exif, config.engine
        )


def make_classifier_trainer(
    config: ClassificationConfig, training: LabelledImages, group: Group
) -> tuple[ClassifierTrainer, Preprocessing]:
    """The trainer at step 0 and its network's input; DataError or ConfigError for wrong weights or settings."""
    settings = config.train
    check_shares("train.batch_size", settings.batch_size, group)
    torch.manual_seed(config.seed)
    check_crop(config.network.variant, config.crop.size, "crop.size")
    network = RegionClassifier(
        make_backbone(config.network.variant), len(training.classes), config.network.dropout
    )
    preprocessing = network.backbone.facts.preprocessing
    weights = weights_file(config.network.weights)
    if weights:
        preprocessing = load_pretrained(network, weights)
    trained: Network = network
    if settings.auxiliary:
        trained = WithAuxiliaryHeads(network)
        if weights:
            load_heads(trained, weights)
    trainer: ClassifierTrainer = Trainer(
        trained,
        ImageObjective(settings.label_smoothing, settings.auxiliary),
        settings,
        _schedule(config, len(training)),
        parameter_groups([(trained, 1.0)], settings.learning_rate, settings.weight_decay),
        config.seed,
        group.device,
        choose_precision(config.engine.precision, group.device),
    )
    return trainer, preprocessing


def _schedule(config: ClassificationConfig, images: int) -> Schedule:
    """The settings, which count epochs, in steps."""
    settings = config.train
    steps_per_epoch = images / settings.batch_size
    return Schedule(
        settings.schedule,
        max(1, round(settings.epochs * steps_per_epoch)),
        max(1, round(settings.step_epochs * steps_per_epoch)),
        settings.step_factor,
        settings.warmup,
    )


def _train(
    run: RunFolder,
    config: ClassificationConfig,
    training: LabelledImages,
    trainer: ClassifierTrainer,
    preprocessing: Preprocessing,
    group: Group,
) -> None:
    """Stage `train`: ends with the weights to test at `run.classifier_path`; resumes from the last checkpoint."""
    weights = weights_file(config.network.weights)
    result = run.stage("train", group=group).result(
        VERSION,
        images=labelled_key(training),
        exif=config.data.exif,
        crop=config.crop,
        network=config.network.model_dump(exclude={"weights"}),
        start=weights,
        settings=config.train.model_dump(exclude=UNTRAINED),
        precision=precision_name(config.engine),
        processes=group.world,
        seed=config.seed,
    )
    run_training(
        result,
        trainer,
        partial(_batches, config, training, preprocessing, group),
        MetricsLog.of_images(run.path, config.train, METRICS, config.log),
        run.classifier_path,
        partial(_save, config, training, preprocessing),
    )


def _batches(
    config: ClassificationConfig,
    training: LabelledImages,
    preprocessing: Preprocessing,
    group: Group,
    trainer: ClassifierTrainer,
) -> Iterator[ImageBatch]:
    settings = config.crop
    crop = CropAugment(
        settings.size,
        (settings.min_area, settings.max_area),
        (1 / settings.aspect, settings.aspect),
        settings.interpolation,
        settings.photometric,
        settings.mirror,
    )
    crop(np.zeros((8, 8, 3), np.uint8), 0)  # so that its library is imported once, before the workers fork

    def read(position: int) -> Image:
        return read_image(Path(training.paths[position]), config.data.exif)

    sampler = EpochSampler(len(training), config.train.batch_size, config.seed, group.rank, group.world)
    source = CropSource(sampler, training.labels - FIRST_LABEL, read, crop)
    on_gpu = trainer.device.type != "cpu"
    workers = group.workers(config.engine.workers)
    crops = load_batches(source, trainer.step, trainer.schedule.steps, workers, pin=on_gpu)
    return map(partial(to_device, preprocessing=preprocessing, device=trainer.device), crops)


def _save(
    config: ClassificationConfig,
    training: LabelledImages,
    preprocessing: Preprocessing,
    path: Path,
    trained: Network,
) -> None:
    """Write the trained weights, without auxiliary heads, with all that they need to be used."""
    save_model(
        path,
        trained.network if isinstance(trained, WithAuxiliaryHeads) else trained,
        preprocessing,
        classes=list(training.classes.names),
        wnids=list(training.classes.wnids),
        crop_size=config.crop.size,
        config=dump_config(config),
    )
