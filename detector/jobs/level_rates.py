"""Measuring how long a step of training and a scored region take on this machine, by the settings of a level."""

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import numpy as np

from detector.config import Config
from detector.inference.engine import CropEngine, make_engine
from detector.jobs.network_task import network_task
from detector.jobs.plan import LevelRates
from detector.jobs.plan_rates import Sample
from detector.networks.heads import FeaturesAndMoves
from detector.records import Float32
from detector.runs.processes import Group, alone
from detector.stages.region_batches import BatchMaker, batch_maker
from detector.stages.region_trainer import RegionTrainer, make_finetuner
from detector.stages.start_network import NetworkTask, start_network
from detector.training.loop import DoneStep

SCORED = 2  # images, for the rate of an engine
CROPS = 16  # in a measured step of training by crops on a CPU; a run's has more, and takes in proportion longer
SECONDS, STEPS = 3.0, 4  # of training, whatever comes first; the first step is not timed


def measure_level(config: Config, sample: Sample, group: Group) -> LevelRates:
    """Train a few steps and score a few regions by `config`, on the sample."""
    task = network_task(config, sample.labelled.regions.split.dataset.classes)
    share = group.world if group.device.type == "cuda" else 1  # processes on CPUs share them
    image, region, start = _scoring(config, task, sample)
    step = _training(config, task, sample, group)
    return LevelRates(step / share, image / share, region / share, start)


def _training(config: Config, task: NetworkTask, sample: Sample, group: Group) -> float:
    """Seconds a step. Of crops on a CPU a smaller batch is measured and scaled, as each crop costs the same."""
    settings, factor = config.finetune, 1.0
    if config.region.mode == "warp" and settings.batch_size > CROPS and group.device.type == "cpu":
        factor = settings.batch_size / CROPS
        positives = max(1, round(settings.positives / factor))
        settings = settings.model_copy(update={"batch_size": CROPS, "positives": positives})
    names = sample.labelled.regions.split.dataset.classes.names
    one = replace(alone(group.device), neighbours=group.neighbours)
    trainer, preprocessing = make_finetuner(settings, task, names, config.joint_boxes, one, task.seed)
    makes = batch_maker(settings, task, settings.positives, preprocessing, one, task.seed)
    with closing(_steps(trainer, makes, sample)) as steps:
        done = next(steps)
        done.read()  # a GPU is given steps ahead: the clock waits for it at both ends
        started, count = time.perf_counter(), 0
        while count < STEPS and time.perf_counter() - started < SECONDS:
            done = next(steps)
            count += 1
        done.read()
        return factor * (time.perf_counter() - started) / count


def _steps(trainer: RegionTrainer, makes: BatchMaker, sample: Sample) -> Generator[DoneStep]:
    """Steps of training; more batches are begun than are asked for, so that workers are as busy as in a run."""
    yield from trainer.train(makes.batches(sample.labelled, 0, 1 + STEPS + 2 * max(makes.workers, 1)))


def _scoring(config: Config, task: NetworkTask, sample: Sample) -> tuple[float, float, float]:
    """Seconds of an image, of each of its regions, and of opening an engine."""
    started = time.perf_counter()
    names = sample.labelled.regions.split.dataset.classes.names
    network, preprocessing = start_network(task, names, len(names) + 1, task.seed)
    engine = make_engine(FeaturesAndMoves(network.eval(), None), preprocessing, config.region, config.engine)
    split, regions = sample.labelled.regions.split, sample.labelled.regions.boxes
    scored = range(min(SCORED, len(split)))

    def score(count: int) -> tuple[float, int]:
        """Seconds, and regions that were scored."""

        def some(position: int) -> Float32:
            boxes = regions(position)
            return boxes[np.arange(count) % len(boxes)]

        begun = time.perf_counter()
        done = sum(1 for _ in engine.run(split.load(some, scored, 1)))
        return time.perf_counter() - begun, done * count

    batch = engine.runner.batch_size
    score(1)
    start = time.perf_counter() - started
    seconds, done = score((1 + isinstance(engine, CropEngine)) * batch)
    if isinstance(engine, CropEngine):
        return 0.0, seconds / done, start
    more, all_done = score(3 * batch)
    region = max(more - seconds, 0.0) / (all_done - done)
    return max(seconds - done * region, 0.0) / len(scored), region, start
