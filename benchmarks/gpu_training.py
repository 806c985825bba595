"""Training steps for `gpu.py`: this project's, and the plain loop over regions that public code has."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from detector.bench.machine import synchronise
from detector.config import FinetuneSettings
from detector.data.images import read_image
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing, crop_regions, prepare_image
from detector.training.batch import PatchSource, RegionBatch, RegionReader, cut_patch, warp_patches
from detector.training.batch_loading import load_batches
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import RegionObjective
from detector.training.sample import RegionSampler
from detector.training.schedule import Schedule

STEPS, SMALL_STEPS = 40, 2
WARM_UPS = 3
WORKERS = 8


def training(bench: Any) -> list[dict[str, Any]]:
    """Training steps a second, SGD in bf16: from images, with the batch at hand, and by a loop over regions."""
    settings = FinetuneSettings(
        batch_size=8 if bench.is_small else 128, positives=2 if bench.is_small else 32, steps=10_000, photometric=0
    )
    steps = SMALL_STEPS if bench.is_small else STEPS
    workers = 0 if bench.is_small else WORKERS
    last = WARM_UPS + steps
    source = make_source(bench, settings)
    rows = []

    def note(what: str, run: Iterator[object]) -> None:
        rate = steps_a_second(run, steps, bench.device)
        rows.append({"what": what, "steps_per_second": rate, "regions_per_second": rate * settings.batch_size})

    pin = bench.device.type != "cpu"
    region, device = bench.workload.config.region, bench.device
    for by_trial in (False, True):
        torch.backends.cudnn.benchmark = by_trial
        how = ", cuDNN's choice by trial" if by_trial else ""
        trainer, preprocessing = make_trainer(bench, settings)
        sent = load_batches(source, 0, last, workers, pin)
        note(
            f"from images{how}", trainer.train(warp_patches(each, preprocessing, region, device) for each in sent)
        )
        trainer, _ = make_trainer(bench, settings)
        held = warp_patches(source[0], preprocessing, region, device)
        again = (RegionBatch(step, held.crops, held.labels) for step in range(last))
        note(f"crops on the device{how}", trainer.train(again))
    torch.backends.cudnn.benchmark = False
    network, preprocessing = bench.workload.load_network()
    note("a plain loop over the regions", plain_steps(bench, network, preprocessing, settings, source, last))
    return rows


def steps_a_second(run: Iterator[object], steps: int, device: torch.device) -> float:
    """Of the steps behind the first ones."""
    for _ in islice(run, WARM_UPS):
        pass
    synchronise(device)
    started = time.perf_counter()
    done = sum(1 for _ in islice(run, steps))
    synchronise(device)
    return done / (time.perf_counter() - started)


def make_source(bench: Any, settings: FinetuneSettings) -> PatchSource:
    """Batches of the workload's regions, a quarter of them objects of some class."""
    images = [read_image(path) for path in bench.workload.paths]
    boxes = bench.workload.boxes
    labels = np.random.default_rng(0).integers(0, bench.workload.outputs, sum(map(len, boxes))).astype(np.int16)
    labels[::2] = 0
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in boxes])])
    sampler = RegionSampler(labels, offsets, settings, settings.positives, seed=0)
    reader = RegionReader(sampler.draw, images.__getitem__, boxes.__getitem__, lambda image, seed: image, 1 << 30)
    return PatchSource(reader, bench.workload.config.region)


def make_trainer(bench: Any, settings: FinetuneSettings) -> tuple[Trainer[Any, Any], Preprocessing]:
    """The trainer of a fresh network, in bf16."""
    network, preprocessing = bench.workload.load_network()
    groups = parameter_groups([(network, 1.0)], settings.learning_rate, settings.weight_decay)
    schedule = Schedule("step", settings.steps, settings.step_size, 0.1)
    trainer: Trainer[Any, Any] = Trainer(
        network, RegionObjective(), settings, schedule, groups, 0, bench.device, torch.bfloat16
    )
    return trainer, preprocessing


def plain_steps(
    bench: Any,
    network: RegionClassifier,
    preprocessing: Preprocessing,
    settings: FinetuneSettings,
    source: PatchSource,
    steps: int,
) -> Iterator[float]:
    """Region after region goes to the device and is cut there; the loss is read at each step."""
    device, region = bench.device, bench.workload.config.region
    network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    reader = source.reader
    for step in range(steps):
        draw = reader.draw(step)
        crops = []
        for image, row in zip(draw.image.tolist(), draw.region.tolist(), strict=True):
            patch, box = cut_patch(reader.read_image(image), reader.read_boxes(image)[row], region)
            prepared = prepare_image(torch.from_numpy(patch.copy()).to(device), preprocessing)
            crops.append(crop_regions(prepared, torch.from_numpy(box[None]).to(device), region))
        with torch.autocast(device.type, torch.bfloat16):
            logits = network(torch.cat(crops).contiguous(memory_format=torch.channels_last))
            loss = functional.cross_entropy(logits.float(), torch.from_numpy(draw.label).to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
