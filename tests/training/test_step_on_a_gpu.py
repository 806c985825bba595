"""A training step on a GPU that is not there: nothing waits, and its launches do not grow with the regions."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
import torch
from drawn_pictures import boxes_of, picture
from fake_gpu import GPU, Disorder, FakeGpu, HostWaits, fake_gpu, pinned

from detector.config import FinetuneSettings, RegionSettings
from detector.networks.backbones import make_backbone
from detector.networks.multi_task import MultiTaskClassifier
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import BVLC
from detector.training.batch import Patches, PatchSource, RegionBatch, RegionReader, warp_patches
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import MultiTaskObjective, RegionObjective
from detector.training.sample import RegionSampler
from detector.training.schedule import Schedule

TIGHT = RegionSettings(crop_size=32, padding=3)
WIDE = RegionSettings(crop_size=32, padding=3, wide_padding=9, fill="image")
SMALL, LARGE = 8, 32  # regions a step


def settings_of(count: int, **further: object) -> FinetuneSettings:
    return FinetuneSettings.model_validate({"batch_size": count, "positives": 3, "steps": 9, **further})


def patches(count: int, region: RegionSettings) -> PatchSource:
    labels = np.array([1, 0, 0, 2, 0, 0] * 3, np.int16)
    sampler = RegionSampler(labels, np.arange(4) * 6, settings_of(count), 3, seed=0)
    reader = RegionReader(sampler.draw, picture, boxes_of, lambda image, seed: image, 1 << 20)
    return PatchSource(reader, region)


def batches(source: PatchSource, steps: range, region: RegionSettings) -> Iterator[RegionBatch]:
    for step in steps:
        yield warp_patches(Patches(*map(pinned, source[step])), BVLC, region, GPU)


def launches_of_a_step(
    gpu: FakeGpu,
    count: int,
    region: RegionSettings,
    settings: FinetuneSettings,
    precision: torch.dtype = torch.bfloat16,
    boxes: bool = False,
) -> int:
    """Of the third: what is made once is there by then."""
    network = RegionClassifier(make_backbone("tiny"), 3, crops=len(region.paddings))
    trained = MultiTaskClassifier(network, 2) if boxes else network
    trained.to(GPU).to(memory_format=torch.channels_last)
    groups = parameter_groups([(trained, 1.0)], settings.learning_rate, settings.weight_decay)
    objective = MultiTaskObjective() if boxes else RegionObjective()
    schedule = Schedule("step", settings.steps, 100, 0.1)
    trainer: Trainer = Trainer(trained, objective, settings, schedule, groups, 0, GPU, precision)
    source = patches(count, region)
    list(trainer.train(batches(source, range(2), region)))
    with gpu.counted() as launches:
        list(trainer.train(batches(source, range(2, 3), region)))
        return launches.total()


@pytest.mark.parametrize(
    ("optimizer", "average", "precision", "region", "boxes"),
    [
        ("sgd", "none", torch.bfloat16, TIGHT, False),
        ("sgd", "polyak", torch.float32, WIDE, False),
        ("adamw", "ema", torch.bfloat16, TIGHT, True),
    ],
)
def test_a_step_waits_for_nothing_and_launches_as_much_for_any_number_of_regions(
    optimizer: Literal["sgd", "adamw"],
    average: Literal["none", "ema", "polyak"],
    precision: torch.dtype,
    region: RegionSettings,
    boxes: bool,
) -> None:
    found = []
    for count in (SMALL, LARGE):
        settings = settings_of(count, optimizer=optimizer, average=average, average_start=0)
        with fake_gpu() as gpu:
            found.append(launches_of_a_step(gpu, count, region, settings, precision, boxes))
    assert found[0] == found[1]
    assert found[0] <= 200  # four convolutions with batch norm, there and back, are 60 of them


def test_a_batch_goes_up_in_six_copies_and_its_numbers_come_down_in_one() -> None:
    with fake_gpu() as gpu:
        settings = settings_of(LARGE)
        launches_of_a_step(gpu, LARGE, TIGHT, settings)
        copies = [note for note in gpu.notes if note in ("up", "down")][-7:]
    assert copies == ["up"] * 6 + ["down"]


def test_the_fake_gpu_tells_what_would_wait_and_what_comes_too_early() -> None:
    with fake_gpu() as gpu:
        numbers = torch.ones(3, device=GPU)
        plain, held = torch.ones(3), torch.ones(3).pin_memory()
        with gpu.counted():
            held.to(GPU, non_blocking=True)
            for wait in (
                lambda: numbers.tolist(),
                lambda: numbers[0].item(),
                lambda: numbers[numbers > 0],
                lambda: numbers.nonzero(),
                lambda: numbers.cpu(),
                lambda: plain.to(GPU, non_blocking=True),
                lambda: held.to(GPU),
                lambda: torch.tensor([1.0], device=GPU),
            ):
                with pytest.raises(HostWaits):
                    wait()
            early = numbers.to("cpu", non_blocking=True)
            with pytest.raises(Disorder):
                early.tolist()
            with torch.cuda.stream(torch.cuda.Stream(GPU)), pytest.raises(Disorder):
                numbers + 1
