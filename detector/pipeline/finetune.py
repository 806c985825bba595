"""Stage `finetune`: the region classifier, trained on the regions of the training split."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from detector.config import Config, dump_config
from detector.data.augment import PhotometricAugment
from detector.data.dataset import Dataset
from detector.data.images import read_image
from detector.data.stores import Store, StoreWriter, read_proposals
from detector.networks.device import choose_device, choose_precision
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weights import load_pretrained, preprocessing_of, save_model
from detector.parallel import worker_count
from detector.pipeline.distributed import alone
from detector.pipeline.inputs import finetune_inputs
from detector.pipeline.run import Stage, key_of
from detector.pipeline.steps import MetricsLog, run_steps
from detector.records import Array, Float32, Image
from detector.training.assign import assign
from detector.training.batch import CACHE_BYTES, PatchSource, RegionBatch, warp_patches
from detector.training.checkpoint import load_checkpoint
from detector.training.loading import load_batches
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import RegionObjective
from detector.training.sample import RegionSampler
from detector.training.schedule import Schedule

METRICS = ("object_accuracy", "background_accuracy")
STEP_FACTOR = 0.1  # of the learning rate every finetune.step_size steps


class TrainingRegions:
    """The regions of a training split: of each image its objects' boxes first, then its proposals."""

    def __init__(self, config: Config, dataset: Dataset, proposals: Store) -> None:
        self.config = config
        self.dataset = dataset
        self.proposals = proposals

    def boxes(self, position: int) -> Float32:
        """Regions (R, 4) of the image at `position`; none where the image was found unreadable."""
        proposed = read_proposals(self.proposals, position).boxes
        if not len(proposed):
            return proposed
        return np.concatenate([self.dataset.truth(position).boxes, proposed])

    def labels(self, position: int) -> Array:
        """Labels (R,) i16 of `boxes(position)`."""
        return assign(
            self.boxes(position),
            self.dataset.truth(position),
            self.config.finetune.positive_iou,
            bool(self.dataset.exhaustive[position]),
        )

    def image(self, position: int) -> Image:
        """The pixels of the image at `position`."""
        return read_image(self.dataset.record(position).path, self.config.data.exif)


def run_finetune(stage: Stage, config: Config, dataset: Dataset, proposals: Store) -> Path:
    """Train the region classifier and return the path of its weights; resumes from the last checkpoint."""
    inputs = finetune_inputs(config, dataset)
    model_path = stage.run.model_path
    if stage.is_done(inputs) and model_path.is_file():
        return model_path
    stage.begin(inputs)
    regions = TrainingRegions(config, dataset, proposals)
    labels = _label_store(stage, regions, key_of(inputs))
    sampler = RegionSampler(labels.field("labels"), labels.offsets, config.finetune, config.seed)
    trainer, preprocessing = make_trainer(config, len(dataset.classes))
    checkpoint = stage.folder / "last.pt"
    if state := load_checkpoint(checkpoint):
        trainer.load(state)
    batches = _batches(config, regions, sampler, preprocessing, trainer)
    log = MetricsLog(stage.run.path / "metrics.csv", "finetune", METRICS, "region", config.finetune.batch_size)
    last = run_steps(trainer, batches, alone(trainer.device), checkpoint, log)
    save_model(
        model_path,
        trainer.tested_network(),
        preprocessing,
        classes=list(dataset.classes.names),
        wnids=list(dataset.classes.wnids),
        region=config.region.model_dump(),
        config=dump_config(config),
    )
    facts = {"positives": len(sampler.positives), "backgrounds": sampler.backgrounds}
    stage.finish(inputs, steps=trainer.step, last_loss=last, **facts)
    return model_path


def _label_store(stage: Stage, regions: TrainingRegions, key: str) -> Store:
    """The labels of all regions, computed once and then memory-mapped."""
    folder = stage.folder / "labels"
    if Store.is_done(folder, key):
        return Store.open(folder, key)
    count = len(regions.dataset)
    writer = StoreWriter(folder, {"labels": (np.dtype(np.int16), ())}, count, key, shard=1024)
    for shard in tqdm(writer.missing_shards(), desc="assign labels", unit="shard"):
        writer.write_shard(shard, [{"labels": regions.labels(position)} for position in shard])
    return writer.finish()


def make_trainer(config: Config, classes: int) -> tuple[Trainer[RegionClassifier, RegionBatch], Preprocessing]:
    """The trainer at step 0 and its network's input; DataError or ConfigError for wrong weights or device."""
    torch.manual_seed(config.seed)
    network = RegionClassifier(config.network.variant, classes + 1, config.network.dropout)
    preprocessing = preprocessing_of(config.network.variant)
    if config.network.weights:
        preprocessing = load_pretrained(network, config.network.weights)
    device = choose_device(config.engine.device)
    precision = choose_precision(config.engine.precision, device)
    settings = config.finetune
    trainer = Trainer(
        network,
        RegionObjective(settings.label_smoothing),
        settings,
        Schedule(settings.schedule, settings.steps, settings.step_size, STEP_FACTOR, settings.warmup),
        parameter_groups(
            [(network.backbone, 1.0), (network.classifier, settings.head_factor)],
            settings.learning_rate,
            settings.weight_decay,
        ),
        config.seed,
        device,
        precision,
    )
    return trainer, preprocessing


def _batches(
    config: Config,
    regions: TrainingRegions,
    sampler: RegionSampler,
    preprocessing: Preprocessing,
    trainer: Trainer[RegionClassifier, RegionBatch],
) -> Iterator[RegionBatch]:
    distort = PhotometricAugment(config.finetune.photometric)
    distort(np.zeros((1, 1, 3), np.uint8), 0)  # so that its library is imported once, before the workers fork
    workers = worker_count(config.engine.workers)
    cache_bytes = CACHE_BYTES // max(workers, 1)
    source = PatchSource(sampler, regions.image, regions.boxes, distort, config.region, cache_bytes)
    on_gpu = trainer.device.type != "cpu"
    patches = load_batches(source, trainer.step, config.finetune.steps, workers, pin=on_gpu)
    return map(
        partial(warp_patches, preprocessing=preprocessing, region=config.region, device=trainer.device), patches
    )
