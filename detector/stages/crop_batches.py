"""Batches of random crops of the training images, for a classifier."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from detector.config import ClassificationConfig
from detector.data.augment import CropAugment
from detector.data.images import read_image
from detector.data.labelled_images import LabelledImages
from detector.networks.warp import Preprocessing
from detector.records import FIRST_LABEL, Image
from detector.runs.processes import Group
from detector.stages.classifier_trainer import ClassifierTrainer
from detector.training.batch_loading import load_batches
from detector.training.image_batches import CropSource, EpochSampler, ImageBatch, to_device


def crop_batches(
    config: ClassificationConfig,
    training: LabelledImages,
    preprocessing: Preprocessing,
    group: Group,
    trainer: ClassifierTrainer,
) -> Iterator[ImageBatch]:
    """This process's part of the batches from the trainer's step on."""
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
