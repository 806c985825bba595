"""How much a GPU is asked to do, counted without one: operators that start work, and copies up and down.

python benchmarks/gpu_launches.py [--variant paper] [--regions 128]

On torch's fake tensors, by what the tests use; a wait of the host for the device would end it with an error.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from fake_gpu import GPU, FakeGpu, fake_gpu, pinned

from detector.config import EngineSettings, FinetuneSettings, RegionSettings
from detector.inference.engine import make_engine
from detector.networks.backbones import make_backbone
from detector.networks.heads import Probabilities
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import BVLC
from detector.records import Float32, Image
from detector.training.batch import Patches, PatchSource, RegionBatch, RegionReader, warp_patches
from detector.training.loop import Trainer, parameter_groups
from detector.training.objectives import RegionObjective
from detector.training.sample import RegionSampler
from detector.training.schedule import Schedule

HEIGHT, WIDTH = 415, 482  # pixels of an image: ILSVRC-DET's mean
OUTPUTS = 201
ROWS = 200  # regions of an image in training
ENGINE = EngineSettings(device="cuda", backend="torch", precision="bf16")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="paper")
    parser.add_argument("--regions", type=int, default=128, help="of a training step")
    options = parser.parse_args(arguments)
    sys.stdout.write("| | operators | copies |\n|---|---|---|\n")
    for name, (launches, copies) in rows(options.variant, options.regions):
        sys.stdout.write(f"| {name} | {launches:,} | {copies} |\n")


def rows(variant: str, regions: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """What is counted, and the numbers of operators and copies."""
    with fake_gpu() as gpu:
        step, warp = training(variant, regions)
        yield f"training step, {regions} regions", counted(gpu, step)
        yield "of it, the warp", counted(gpu, warp)
    for mode in ("warp", "shared"):
        for images, count in ((1, 1400), (4, 200)):
            with fake_gpu() as gpu:
                step = inference(variant, mode, images, count)
                yield f"region.mode={mode}, images of {count} regions: {images}", counted(gpu, step)


def counted(gpu: FakeGpu, step: Callable[[], object]) -> tuple[int, int]:
    """Of a step, done once before: what is made once is there then."""
    step()
    gpu.notes.clear()
    with gpu.counted() as launches:
        step()
        return launches.total(), sum(note in ("up", "down") for note in gpu.notes)


def training(variant: str, regions: int) -> tuple[Callable[[], object], Callable[[], RegionBatch]]:
    """A step of R-CNN's fine-tuning in bf16, and the warp of its batch alone."""
    settings = FinetuneSettings(batch_size=regions, positives=regions // 4)
    labels = np.tile(np.array([1, 0, 0, 0], np.int16), ROWS // 2)
    sampler = RegionSampler(labels, np.array([0, ROWS, 2 * ROWS]), settings, settings.positives, seed=0)
    reader = RegionReader(sampler.draw, picture, lambda image: boxes(ROWS), lambda image, seed: image, 1 << 30)
    region = RegionSettings()
    patches = Patches(*map(pinned, PatchSource(reader, region)[0]))
    network = RegionClassifier(make_backbone(variant), OUTPUTS)
    network.to(GPU).to(memory_format=torch.channels_last)
    parts = [(network.backbone, 1.0), (network.classifier, settings.head_factor)]
    groups = parameter_groups(parts, settings.learning_rate, settings.weight_decay, settings.bias_factor)
    schedule = Schedule("step", settings.steps, settings.step_size, 0.1)
    trainer: Trainer[Any, Any] = Trainer(
        network, RegionObjective(), settings, schedule, groups, 0, GPU, torch.bfloat16
    )

    def warp() -> RegionBatch:
        return warp_patches(patches, BVLC, region, GPU)

    return lambda: list(trainer.train([warp()])), warp


def inference(variant: str, mode: str, images: int, count: int) -> Callable[[], object]:
    """An engine's pass over images."""
    network = RegionClassifier(make_backbone(variant), OUTPUTS)
    region = RegionSettings.model_validate({"mode": mode})
    engine = make_engine(Probabilities(network), BVLC, region, ENGINE)
    pairs = [(picture(number), boxes(count)) for number in range(images)]
    return lambda: list(engine.run(pairs))


def picture(number: int) -> Image:
    """An image of the mean size."""
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def boxes(count: int) -> Float32:
    """Regions (count, 4) of it."""
    random = np.random.default_rng(0)
    corner = random.uniform(0, 200, (count, 2))
    return np.concatenate([corner, corner + random.uniform(20, 200, (count, 2))], 1).astype(np.float32)


if __name__ == "__main__":
    main()
