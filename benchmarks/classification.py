"""Crops a second of the image classifier beside torchvision's googlenet, in turn in one run.

python benchmarks/classification.py [--device auto] [--rounds 5] [--crops 1 10 144]

Images are random and in memory: decoding is not measured, cutting the crops is. The peer is torchvision's model as
its users run it: eval mode, one batch of crops of the same size a forward pass, fp32, and cut by our code too.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torchvision

from detector.config import EngineSettings
from detector.inference.classify import ImageClassifier
from detector.inference.multi_crop import CROPS, cut_crops
from detector.networks.backbones import make_backbone
from detector.networks.device import choose_batch_size, choose_device
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import BVLC, TORCHVISION
from detector.records import Image
from detector.runs.environment import environment_notes

PEER = "torchvision's own, fp32"
HEIGHT, WIDTH = 375, 500  # ILSVRC's commonest size
Run = Callable[[int, int], float]


def main() -> None:
    """Print a Markdown table: median crops a second of the rounds, and ratios to the peer's in the same round."""
    options = parse()
    device = choose_device(options.device)
    runs = dict(contestants(device, options.compile))
    sys.stdout.write("\n".join(f"{key}: {value}" for key, value in environment_notes().items()) + "\n\n")
    sys.stdout.write("| crops | images | " + " | ".join(runs) + " |\n" + "|---" * (len(runs) + 2) + "|\n")
    for crops in options.crops:
        images = max(2, options.budget // crops)
        for run in runs.values():
            run(crops, 2)  # warm up: kernels chosen, memory taken, graphs compiled
        rounds = [{name: run(crops, images) for name, run in runs.items()} for _ in range(options.rounds)]
        cells = [
            cell([each[name] for each in rounds], [each["torchvision fp32"] for each in rounds]) for name in runs
        ]
        sys.stdout.write(f"| {crops} | {images} | " + " | ".join(cells) + " |\n")


def cell(rates: list[float], peer: list[float]) -> str:
    """A median rate, and the median of its ratios to the peer's in the same round."""
    ratio = statistics.median(own / other for own, other in zip(rates, peer, strict=True))
    return f"{statistics.median(rates):.0f} ({ratio:.2f}x)"


def contestants(device: torch.device, compiled: bool) -> Iterator[tuple[str, Run]]:
    """What is timed, by name."""
    yield PEER, peer(device)
    precisions = ["fp32", "bf16"] + (["fp16"] if device.type == "cuda" else [])
    for variant in ("torchvision", "paper"):
        for precision in precisions:
            for use_compile in (False, True) if compiled else (False,):
                name = f"{variant} {precision}{' compiled' if use_compile else ''}"
                yield name, ours(variant, precision, use_compile, device)


def ours(variant: str, precision: str, use_compile: bool, device: torch.device) -> Run:
    """The classifier of `eval_cls`."""
    settings = EngineSettings.model_validate(
        {"device": str(device), "precision": precision, "compile": use_compile, "workers": 0}
    )
    network = RegionClassifier(make_backbone(variant), 1000)
    classifier = ImageClassifier(network, BVLC if variant == "paper" else TORCHVISION, 224, settings)

    def run(crops: int, images: int) -> float:
        started = time.perf_counter()
        for _ in classifier.classify(make_images(images), (crops,)):
            pass
        return crops * images / (time.perf_counter() - started)

    return run


def peer(device: torch.device) -> Run:
    """torchvision's googlenet on the same crops, a batch of the same size a pass."""
    network = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False).eval().to(device)
    batch = choose_batch_size(0, device, 224)

    @torch.inference_mode()
    def run(crops: int, images: int) -> float:
        started = time.perf_counter()
        waiting: list[torch.Tensor] = []
        for image in make_images(images):
            waiting.append(cut_crops(torch.from_numpy(image).to(device), crops, TORCHVISION, 224))
            if sum(map(len, waiting)) >= batch:
                for part in torch.cat(waiting).split(batch):
                    network(part).softmax(1).cpu()
                waiting = []
        if waiting:
            for part in torch.cat(waiting).split(batch):
                network(part).softmax(1).cpu()
        return crops * images / (time.perf_counter() - started)

    return run


def make_images(count: int) -> Iterator[Image]:
    """`count` images of noise, the same each time."""
    random = np.random.default_rng(0)
    pool = [random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(4)]
    for index in range(count):
        yield pool[index % len(pool)]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crops", type=int, nargs="+", choices=CROPS, default=list(CROPS))
    parser.add_argument("--budget", type=int, default=288, help="crops a round, about")
    parser.add_argument("--compile", action="store_true", help="time compiled networks too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
