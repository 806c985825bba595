"""Batches of windows of the training images, for MultiBox."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from detector.config import MultiBoxConfig
from detector.data.augment import PhotometricAugment
from detector.networks.multibox import INPUT_SIZE
from detector.networks.warp import Preprocessing
from detector.records import Float32
from detector.runs.processes import Group
from detector.runs.split import Split
from detector.stages.multibox_trainer import MultiBoxTrainer
from detector.training.batch import CACHE_BYTES, ImageCache
from detector.training.batch_loading import load_batches
from detector.training.image_batches import EpochSampler
from detector.training.multibox_loss import WindowBatch, WindowSource, to_device


def window_batches(
    config: MultiBoxConfig,
    training: Split,
    preprocessing: Preprocessing,
    group: Group,
    trainer: MultiBoxTrainer,
) -> Iterator[WindowBatch]:
    """This process's part of the batches from the trainer's step on."""
    workers = group.workers(config.engine.workers)
    cache = ImageCache(CACHE_BYTES // max(workers, 1))
    distort = PhotometricAugment(config.multibox.photometric)
    distort(np.zeros((1, 1, 3), np.uint8), 0)  # so that its library is imported once, before the workers fork

    def boxes(position: int) -> Float32:
        truth = training.dataset.truth(position)
        return truth.boxes[~truth.crowd]

    source = WindowSource(
        EpochSampler(len(training), config.train.batch_size, config.seed, group.rank, group.world),
        lambda position: cache.get(position, training.read),
        boxes,
        distort,
        config.multibox,
        trainer.network.priors.cpu().numpy(),
        INPUT_SIZE[config.multibox.form],
    )
    on_gpu = trainer.device.type != "cpu"
    windows = load_batches(source, trainer.step, trainer.schedule.steps, workers, pin=on_gpu)
    return map(partial(to_device, preprocessing=preprocessing, device=trainer.device), windows)
