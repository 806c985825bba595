"""Train torchvision's Faster R-CNN on a GoogLeNet backbone, for a few steps, and print the loss.

python examples/train_torchvision_faster_rcnn.py --data ../shared/data/fruit --weights bvlc_googlenet.npz
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from detector.choices import FORMATS
from detector.config import DataSettings
from detector.data.dataset import Dataset
from detector.data.images import read_image
from detector.data.readers import open_dataset
from detector.networks.adapters.torchvision_backbones import googlenet_fpn_backbone

Sample = tuple[Tensor, dict[str, Tensor]]


def main(words: Sequence[str] | None = None) -> list[float]:
    """Train as the command line says; return the loss of each step."""
    arguments = parse(words)
    torch.manual_seed(0)
    split = (arguments.split,)
    settings = DataSettings(format=arguments.format, root=arguments.data, train=split, classes=arguments.classes)
    dataset = open_dataset(settings, split)
    backbone = googlenet_fpn_backbone(weights=arguments.weights)
    detector = FasterRCNN(
        backbone,
        num_classes=len(dataset.classes) + 1,
        min_size=arguments.size,
        max_size=2 * arguments.size,
        box_batch_size_per_image=64,  # of 512: so that a CPU will do
    ).train()
    trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=arguments.rate, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step, samples in zip(range(arguments.steps), batches(dataset, arguments.batch), strict=False):
        images, targets = zip(*samples, strict=True)
        loss = sum(detector(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 10.0)
        optimizer.step()
        losses.append(loss.item())
        sys.stdout.write(f"step {step + 1}: loss {losses[-1]:.3f}\n")
    return losses


def batches(dataset: Dataset, size: int) -> Iterator[list[Sample]]:
    """Batches of images in random order, without end."""
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(len(dataset))
        for first in range(0, len(order), size):
            yield [sample(dataset, int(position)) for position in order[first : first + size]]


def sample(dataset: Dataset, position: int) -> Sample:
    """An image (3, H, W) in 0..1 and its objects, as torchvision's detectors want them."""
    pixels = torch.from_numpy(read_image(dataset.record(position).path))
    truth = dataset.truth(position)
    target = {"boxes": torch.from_numpy(truth.boxes), "labels": torch.from_numpy(truth.labels)}
    return pixels.permute(2, 0, 1) / 255, target


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="root of the data set")
    parser.add_argument("--format", default="voc", choices=tuple(FORMATS))
    parser.add_argument("--split", default="train")
    parser.add_argument("--classes", type=Path, help="CSV of the classes, below the root")
    parser.add_argument("--weights", type=Path, help="file of GoogLeNet weights; without, the network starts anew")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=320, help="shorter side of the images, pixels")
    parser.add_argument("--rate", type=float, default=0.005, help="learning rate")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
