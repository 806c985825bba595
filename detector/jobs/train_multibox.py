"""Training MultiBox: fit the priors, train, then propose on the test split, into a run folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from detector.config import MultiBoxConfig, MultiBoxProposals, ProposalSettings, dump_config
from detector.data.augment import PhotometricAugment
from detector.data.dataset import Dataset, has_area
from detector.evaluation.recall import CURVE_BUDGETS, counted_objects, measure_coverage
from detector.networks.backbones import make_backbone
from detector.networks.device import choose_precision
from detector.networks.multibox import INPUT_SIZE, MultiBox
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.multibox_weights import save_multibox
from detector.networks.weight_files.weights import load_trunk
from detector.proposals.priors import grid_priors, learned_priors
from detector.records import Float32
from detector.reports.recall_report import recall_text, recall_tree, write_recall_report
from detector.runs.board import check_tensorboard
from detector.runs.environment import environment_notes
from detector.runs.folder import RunFolder
from detector.runs.pretrained import weights_file
from detector.runs.processes import Group, process_group
from detector.runs.split import Split, open_split
from detector.runs.stage import Result
from detector.runs.store import read_proposals
from detector.runs.train_loop import MetricsLog
from detector.runs.training_result import check_shares, run_training
from detector.stages.propose import run_propose
from detector.stages.region_rows import precision_name
from detector.stages.train_regions import UNTRAINED
from detector.training.batch import CACHE_BYTES, ImageCache
from detector.training.batch_loading import load_batches
from detector.training.image_batches import EpochSampler
from detector.training.loop import Trainer, parameter_groups
from detector.training.multibox_loss import MultiBoxObjective, WindowBatch, WindowSource, to_device
from detector.training.schedule import Schedule

VERSION = 1  # of the stage
BUDGETS = (10, 50, 100, 200)  # boxes an image that recall is reported for
METRICS = ("match_loss", "confidence_loss", "object_confidence")
STEP_FACTOR = 0.1  # of the learning rate every train.step_size steps

MultiBoxTrainer = Trainer[MultiBox, WindowBatch]


@dataclass(frozen=True)
class MultiBoxOutcome:
    """What a run ended with: the table of the test split's recall, the report's page and the weights."""

    table: str
    page: Path
    weights: Path

    def text(self) -> str:
        """What a command prints at its end."""
        return f"{self.table}\nweights: {self.weights}\nreport: {self.page}\n"


def run_multibox(run: RunFolder, config: MultiBoxConfig) -> MultiBoxOutcome | None:
    """Train on the training split, propose on the test split; None in all processes but the first.

    The report goes to `report/`.
    """
    check_tensorboard(config.log)
    with run.lock() as lock:
        with process_group(config.engine.device) as group:
            lock.take(group)
            training = open_split(config.data, config.data.train)
            testing = open_split(config.data, config.data.test)
            trainer, preprocessing = make_multibox_trainer(config, training.dataset, group)
            if group.is_first:
                run.begin(config)
                run.log_notes(dict.fromkeys(training.dataset.notes + testing.dataset.notes))
            run_training(
                _result(run, config, training, group),
                trainer,
                partial(_batches, config, training, preprocessing, group),
                MetricsLog.of_images(run.path, config.train, METRICS, config.log),
                run.multibox_path,
                partial(_save, config, preprocessing),
            )
        if not group.is_first:
            return None
        return _test(run, config, testing)


def _result(run: RunFolder, config: MultiBoxConfig, training: Split, group: Group) -> Result:
    """The result of stage `train` and all that it depends on."""
    return run.stage("train", group=group).result(
        VERSION,
        images=training.key,
        truth=training.truth_key,
        network=config.network.model_dump(exclude={"weights"}),
        start=weights_file(config.network.weights),
        multibox=config.multibox,
        settings=config.train.model_dump(exclude=UNTRAINED),
        precision=precision_name(config.engine),
        processes=group.world,
        seed=config.seed,
    )


def _test(run: RunFolder, config: MultiBoxConfig, testing: Split) -> MultiBoxOutcome:
    """Propose on the test split and report how much of its objects the proposals cover."""
    multibox = MultiBoxProposals(weights=run.multibox_path, boxes=max(BUDGETS), **config.propose.model_dump())
    proposals = ProposalSettings(source="multibox", multibox=multibox)
    dataset = testing.dataset
    store = run_propose(run.stage("propose", testing.name), testing, proposals, config.engine, config.seed)
    boxes = (read_proposals(store, position).boxes for position in range(len(store)))
    objects = counted_objects(dataset.objects, dataset.blacklist)
    coverages = {"multibox": measure_coverage(objects, boxes, [*CURVE_BUDGETS, *BUDGETS])}
    notes = {"Data": f"{dataset.name}: {len(dataset)} images", **environment_notes()}
    title = f"Proposal recall: {config.name}"
    page = write_recall_report(
        run.path / "report", coverages, dataset.classes, BUDGETS, notes, html_name="index.html", title=title
    )
    table = recall_text(recall_tree(coverages, dataset.classes, BUDGETS))
    return MultiBoxOutcome(table, page, run.multibox_path)


def make_multibox_trainer(
    config: MultiBoxConfig, training: Dataset, group: Group
) -> tuple[MultiBoxTrainer, Preprocessing]:
    """The trainer at step 0 and its network's input; DataError or ConfigError for wrong weights or settings."""
    settings = config.train
    check_shares("train.batch_size", settings.batch_size, group)
    torch.manual_seed(config.seed)
    network = MultiBox(
        make_backbone(config.network.variant),
        config.multibox.form,
        torch.from_numpy(fit_priors(config, training)),
    )
    preprocessing = network.backbone.facts.preprocessing
    weights = weights_file(config.network.weights)
    if weights:
        preprocessing = load_trunk(network.backbone, weights)
    objective = MultiBoxObjective(
        config.multibox.box_weight,
        config.multibox.matching,
        config.multibox.bootstrap,
        round(config.multibox.bootstrap_start * settings.steps),
    )
    trainer: MultiBoxTrainer = Trainer(
        network,
        objective,
        settings,
        Schedule(settings.schedule, settings.steps, settings.step_size, STEP_FACTOR, settings.warmup),
        parameter_groups([(network, 1.0)], settings.learning_rate, settings.weight_decay),
        config.seed,
        group.device,
        choose_precision(config.engine.precision, group.device),
    )
    return trainer, preprocessing


def fit_priors(config: MultiBoxConfig, training: Dataset) -> Float32:
    """The priors (K, 4) of the config's form, fitted to the objects of `training`; crowds do not count."""
    objects = training.objects
    sides = training.sizes[objects.image][:, ::-1]  # (G, 2) width, height
    boxes = np.clip(objects.boxes, 0, np.tile(sides, 2))
    usable = has_area(boxes) & ~objects.crowd
    fractions = (boxes / np.tile(sides, 2))[usable].astype(np.float32)
    match config.multibox.form:
        case "grid":
            return grid_priors(fractions, config.seed)
        case "learned":
            return learned_priors(fractions, config.multibox.priors, config.seed)


def _batches(
    config: MultiBoxConfig,
    training: Split,
    preprocessing: Preprocessing,
    group: Group,
    trainer: MultiBoxTrainer,
) -> Iterator[WindowBatch]:
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


def _save(config: MultiBoxConfig, preprocessing: Preprocessing, path: Path, network: MultiBox) -> None:
    """Write the trained network with what proposing with it needs."""
    save_multibox(path, network, preprocessing, config=dump_config(config))
