"""A training step on a GPU that is not there: nothing waits, and its launches do not grow with the regions."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from drawn_pictures import boxes_of, picture
from fake_gpu import GPU, Disorder, FakeGpu, HostWaits, fake_gpu, pinned
from torch import nn

from detector.config import FinetuneSettings, RegionSettings
from detector.networks.backbones import make_backbone
from detector.networks.backbones.base import SharedMap
from detector.networks.multi_task import MultiTaskClassifier
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import SharedClassifier
from detector.networks.warp import BVLC
from detector.training.batch import Patches, PatchSource, RegionBatch, RegionReader, warp_patches
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import MultiTaskObjective, RegionObjective
from detector.training.sample import RegionSampler
from detector.training.schedule import Schedule
from detector.training.shared_batches import ImageSampler, ImageSource, SharedBatch, place_images

TIGHT = RegionSettings(crop_size=32, padding=3)
WIDE = RegionSettings(crop_size=32, padding=3, wide_padding=9, fill="image")
SMALL, LARGE = 8, 32  # regions a step


def settings_of(count: int, **further: object) -> FinetuneSettings:
    return FinetuneSettings.model_validate({"batch_size": count, "positives": 4, "steps": 9, **further})


def sampler_of(count: int) -> RegionSampler:
    labels = np.array([1, 0, 0, 2, 0, 0] * 3, np.int16)
    return RegionSampler(labels, np.arange(4) * 6, settings_of(count), 4, seed=0)


def patches(count: int, region: RegionSettings) -> PatchSource:
    reader = RegionReader(sampler_of(count).draw, picture, boxes_of, lambda image, seed: image, 1 << 20)
    return PatchSource(reader, region)


def batches(source: PatchSource, steps: range, region: RegionSettings) -> Iterator[RegionBatch]:
    for step in steps:
        yield warp_patches(Patches(*map(pinned, source[step])), BVLC, region, GPU)


def shared_batches(
    count: int, region: RegionSettings, shared: SharedMap
) -> Callable[[range], Iterator[SharedBatch]]:
    reader = replace(patches(count, region).reader, draw=ImageSampler(sampler_of(count), 2).draw)
    source = ImageSource(reader)

    def batches(steps: range) -> Iterator[SharedBatch]:
        for step in steps:
            drawn = source[step]
            held = drawn._replace(
                images=[*map(pinned, drawn.images)], labels=pinned(drawn.labels), targets=pinned(drawn.targets)
            )
            yield place_images(held, BVLC, region, shared, GPU)

    return batches


def make_trainer(
    trained: nn.Module, settings: FinetuneSettings, precision: torch.dtype = torch.bfloat16
) -> Trainer[Any, Any]:
    trained.to(GPU).to(memory_format=torch.channels_last)
    groups = parameter_groups([(trained, 1.0)], settings.learning_rate, settings.weight_decay)
    is_multi_task = isinstance(trained, MultiTaskClassifier)
    objective: Any = MultiTaskObjective() if is_multi_task else RegionObjective()
    schedule = Schedule("step", settings.steps, 100, 0.1)
    return Trainer(trained, objective, settings, schedule, groups, 0, GPU, precision)


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
    trainer = make_trainer(MultiTaskClassifier(network, 2) if boxes else network, settings, precision)
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


def test_a_step_of_shared_maps_waits_for_nothing() -> None:
    found = []
    shared = RegionSettings(mode="shared", crop_size=64, padding=4, shared_side=(64, 96), shared_longest=200)
    for count in (SMALL, LARGE):
        with fake_gpu() as gpu:
            classifier = SharedClassifier(make_backbone("tiny"), 3, 0.4, shared, keeps_statistics=True)
            trainer = make_trainer(MultiTaskClassifier(classifier, 2), settings_of(count))
            images = shared_batches(count, shared, classifier.backbone.facts.shared)
            list(trainer.train(images(range(2))))
            with gpu.counted() as launches:
                list(trainer.train(images(range(2, 3))))
                found.append(launches.total())
    assert abs(found[0] - found[1]) <= 60  # other scales and numbers of samples may be there
    assert max(found) <= 400


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
