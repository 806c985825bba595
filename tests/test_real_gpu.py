"""What a GPU computes is what a CPU computes; skipped where there is none."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from drawn_pictures import boxes_of, picture

from detector.config import EngineSettings, FinetuneSettings, RegionSettings
from detector.inference.batches import BatchRunner
from detector.inference.cuda_graph import GraphForward
from detector.inference.engine import RegionEngine
from detector.networks.backbones import make_backbone
from detector.networks.heads import Probabilities
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import SharedClassifier
from detector.networks.transfers import transfers_of
from detector.networks.warp import BVLC
from detector.records import Float32, Image
from detector.training.batch import Patches, PatchSource, RegionReader, warp_patches
from detector.training.batch_loading import load_batches
from detector.training.loop import DivergedError, Trainer, parameter_groups
from detector.training.objectives import RegionObjective
from detector.training.sample import RegionSampler
from detector.training.schedule import Schedule
from detector.training.shared_batches import ImageSampler, ImageSource, place_images

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

CPU, GPU = torch.device("cpu"), torch.device("cuda")
WARP = RegionSettings(crop_size=64, padding=4)
WIDE = RegionSettings(crop_size=64, padding=4, wide_padding=16, fill="image")
SHARED = RegionSettings(mode="shared", crop_size=64, padding=4, shared_side=(64, 96), shared_longest=200)
SETTINGS = FinetuneSettings(batch_size=16, positives=4, steps=8, learning_rate=1e-4)


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """fp32 as CPUs have it."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def network_of(region: RegionSettings, variant: str = "paper") -> RegionClassifier:
    """Without batch norm, by which losses of a few regions differ by half after a change of weights by 1e-6."""
    torch.manual_seed(0)
    backbone = make_backbone(variant)
    if region.mode == "shared":
        network: RegionClassifier = SharedClassifier(backbone, 4, 0.0, region, keeps_statistics=True)
    else:
        network = RegionClassifier(backbone, 4, 0.0, len(region.paddings))
    torch.nn.init.normal_(network.classifier.weight, std=0.3)
    return network


def images(count: int) -> list[tuple[Image, Float32]]:
    regions = [3, 0, 40, 1, 17]
    return [
        (picture(number % 3), np.resize(boxes_of(number), (regions[number % 5], 4))) for number in range(count)
    ]


def reader_of(draw: Any) -> RegionReader:
    return RegionReader(draw, picture, boxes_of, lambda image, seed: image, 1 << 20)


def sampler() -> RegionSampler:
    labels = np.array([1, 0, 0, 2, 0, 0] * 3, np.int16)
    return RegionSampler(labels, np.arange(4) * 6, SETTINGS, 4, seed=0)


@pytest.mark.parametrize("region", [WARP, WIDE], ids=["one crop", "two crops"])
def test_patches_are_warped_as_on_the_cpu(region: RegionSettings) -> None:
    patches: Patches = PatchSource(reader_of(sampler().draw), region)[3]
    one, other = (warp_patches(patches, BVLC, region, device) for device in (CPU, GPU))
    torch.testing.assert_close(other.crops.cpu(), one.crops, rtol=0, atol=1e-3)
    assert torch.equal(other.labels.cpu(), one.labels)


@pytest.mark.parametrize("region", [WARP, WIDE, SHARED], ids=["one crop", "two crops", "shared maps"])
def test_many_images_are_scored_as_on_the_cpu(region: RegionSettings) -> None:
    network = network_of(region)
    found = []
    for device in ("cpu", "cuda"):
        settings = EngineSettings(device=device, backend="torch", precision="fp32", batch_size=16)
        found.append(list(RegionEngine(network, BVLC, region, settings).score(images(20))))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_allclose(one.probs, other.probs, rtol=0, atol=3e-4)
    probs = np.concatenate([each.probs for each in found[0]])
    assert probs.std(0).max() > 3e-3  # else the regions of others would pass, too


@pytest.mark.parametrize("region", [WARP, SHARED], ids=["crops", "shared maps"])
def test_losses_are_those_of_the_cpu(region: RegionSettings) -> None:
    losses = []
    for device in (CPU, GPU):
        trainer = trainer_of(region, device, torch.float32)
        losses.append([done.read().loss for done in list(trainer.train(batches(region, device)))])
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("optimizer", "average"), [("sgd", "polyak"), ("adamw", "ema")])
def test_half_precision_trains_resumes_and_ends_with_finite_weights(
    precision: torch.dtype, optimizer: str, average: str
) -> None:
    change = {"optimizer": optimizer, "average": average, "average_start": 0.1}
    trainer = trainer_of(WARP, GPU, precision, "paper_bn", **change)
    for done in trainer.train(batches(WARP, GPU)):
        if done.step == 5:
            break
    again = trainer_of(WARP, GPU, precision, "paper_bn", **change)
    again.load(trainer.state())
    results = [done.read() for done in again.train(batches(WARP, GPU, first=6))]
    assert [result.step for result in results] == list(range(6, SETTINGS.steps))
    again.check()


def test_a_loss_that_is_not_finite_is_told_with_its_step() -> None:
    def broken() -> Iterator[Any]:
        for batch in batches(WARP, GPU):
            yield replace(batch, crops=batch.crops * float("nan")) if batch.step == 4 else batch

    with pytest.raises(DivergedError, match="at step 4 "):
        list(trainer_of(WARP, GPU, torch.bfloat16).train(broken()))


def test_a_captured_engine_answers_as_it_does_uncaptured() -> None:
    """On the last GPU, which is not the current one where there are several."""
    device = f"cuda:{torch.cuda.device_count() - 1}"
    settings = EngineSettings(device=device, backend="torch", precision="bf16", batch_size=16)
    runner = BatchRunner(Probabilities(network_of(WARP).eval()), 64, settings)
    crops = torch.randn(16, 3, 64, 64, device=device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted = runner.forward(crops)
        graph = GraphForward(runner.forward)
        first, found = graph(torch.zeros_like(crops)), graph(crops)
    assert not torch.equal(first["probs"], found["probs"])
    for name, answer in wanted.items():
        torch.testing.assert_close(found[name], answer, rtol=0.02, atol=0.02)


def test_what_comes_back_is_whole_however_long_the_device_is_at_it() -> None:
    way = transfers_of(GPU)
    numbers = torch.arange(1_000_000.0)
    for _ in range(20):
        sent = way.send(numbers)
        slow = torch.randn(2048, 2048, device=GPU)
        for _ in range(5):
            slow = (slow @ slow).clamp(-1, 1)
        arrival = way.fetch({"numbers": sent * 2 + slow[0, 0] * 0})
        del sent, slow
        assert torch.equal(arrival.wait()["numbers"], numbers * 2)


def batches(region: RegionSettings, device: torch.device, first: int = 0) -> Iterator[Any]:
    pin = device.type == "cuda"
    if region.mode == "shared":
        shared = make_backbone("paper").facts.shared
        source = ImageSource(reader_of(ImageSampler(sampler(), 2).draw))
        for drawn in load_batches(source, first, SETTINGS.steps, 0, pin):
            yield place_images(drawn, BVLC, region, shared, device)
        return
    for patches in load_batches(PatchSource(reader_of(sampler().draw), region), first, SETTINGS.steps, 0, pin):
        yield warp_patches(patches, BVLC, region, device)


def trainer_of(
    region: RegionSettings, device: torch.device, precision: torch.dtype, variant: str = "paper", **change: Any
) -> Trainer[Any, Any]:
    settings = SETTINGS.model_copy(update=change)
    network = network_of(region, variant)
    groups = parameter_groups([(network, 1.0)], settings.learning_rate, settings.weight_decay)
    schedule = Schedule("step", settings.steps, 100, 0.1)
    return Trainer(network, RegionObjective(), settings, schedule, groups, 0, device, precision)
