"""torchvision's Faster R-CNN on this project's GoogLeNet, trained for so many seconds; used by `accuracy.py`."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from tqdm import tqdm

from detector.config import Config
from detector.errors import ConfigError
from detector.networks.adapters.torchvision_backbones import googlenet_fpn_backbone
from detector.networks.backbones.googlenet import DESIGNS
from detector.networks.weight_files.states import not_finite
from detector.records import Detections, DetectionTable, take
from detector.records import table_of_detections as table_of
from detector.runs.pretrained import weights_file
from detector.runs.split import Split, open_split

DROPS = (2 / 3, 8 / 9)  # of the budget: then the rate is divided by ten, near where torchvision's recipe does
WARM_UP = 1000  # steps at most, as torchvision's
LONGEST_WARM_UP = 0.1  # of the budget
COLDEST = 1e-3  # of the rate, in the first step
MOMENTUM = 0.9
LARGEST_GRADIENT = 10.0  # norm: a network without batch normalisation may else diverge
USUAL_SCORE = 0.05  # under which torchvision drops detections
LAST_STEPS = 0.1  # share of the steps whose mean loss is told
WHITE = 255

Sample = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True)
class Recipe:
    """How Faster R-CNN is trained: images a step, weight decay, regions of an image, the backbone's numbers."""

    batch: int
    decay: float
    regions: int
    precision: torch.dtype
    device: torch.device


@dataclass(frozen=True, eq=False)
class Trained:
    """A detector, what each step lost, and the seconds that its training took."""

    detector: FasterRCNN
    losses: list[float]
    seconds: float

    @property
    def loss(self) -> float:
        """The mean of the last steps."""
        return fmean(self.losses[-math.ceil(LAST_STEPS * len(self.losses)) :])

    @property
    def has_diverged(self) -> bool:
        """Whether the loss or a weight is no longer finite."""
        return not math.isfinite(self.loss) or not_finite(self.detector.state_dict()) is not None


class Rounded(nn.Module):
    """A backbone in another number format, whose maps are floats again: boxes would not bear the rounding."""

    def __init__(self, backbone: nn.Module, precision: torch.dtype) -> None:
        super().__init__()
        self.backbone, self.precision = backbone, precision
        self.out_channels = backbone.out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The maps of images (B, 3, H, W)."""
        with torch.autocast(images.device.type, self.precision):
            maps: dict[str, Tensor] = self.backbone(images)
        return {name: each.float() for name, each in maps.items()}


def make_backbone(config: Config) -> nn.Module:
    """The GoogLeNet of the settings with a feature pyramid; ConfigError for another network."""
    variant = config.network.variant
    if variant not in DESIGNS:
        raise ConfigError(f"network.variant must be one of {', '.join(DESIGNS)} for Faster R-CNN, got {variant}")
    return googlenet_fpn_backbone(variant, weights_file(config.network.weights))


def train(
    config: Config, recipe: Recipe, budget: float, rate: float, seed: int, clock: Callable[[], float]
) -> Trained:
    """Train on the training split until `clock` has gone on by `budget`, opening the data included."""
    started = clock()
    torch.manual_seed(seed)
    training = open_split(config.data, config.data.train)
    detector = make_detector(config, recipe, len(training.dataset.classes) + 1).train()
    trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=rate, momentum=MOMENTUM, weight_decay=recipe.decay)
    epoch = max(1, len(training) // recipe.batch)
    losses: list[float] = []
    progress = tqdm(total=round(budget), desc=f"faster_rcnn at {rate:g}", unit="s", leave=False, disable=None)
    with progress:
        for samples in batches(training, recipe.batch, seed):
            spent = (clock() - started) / budget
            progress.update(round(min(spent, 1) * budget) - progress.n)
            if losses and (spent >= 1 or not math.isfinite(losses[-1])):
                break
            for group in optimizer.param_groups:
                group["lr"] = rate * rate_factor(len(losses) / min(WARM_UP, epoch), spent)
            losses.append(train_step(detector, optimizer, trained, samples, recipe.device))
    return Trained(detector, losses, clock() - started)


def make_detector(config: Config, recipe: Recipe, outputs: int) -> FasterRCNN:
    """Faster R-CNN as torchvision makes it, on pretrained weights and images of the size of shared maps."""
    backbone = make_backbone(config)
    detector = FasterRCNN(
        backbone if recipe.precision == torch.float32 else Rounded(backbone, recipe.precision),
        num_classes=outputs,
        min_size=config.region.shared_side,
        max_size=config.region.shared_longest,
        box_batch_size_per_image=recipe.regions,
        box_score_thresh=min(USUAL_SCORE, config.detect.min_score),
    )
    return detector.to(recipe.device)


def rate_factor(warmth: float, spent: float) -> float:
    """Of the rate, by the share of the warm-up and of the budget that is over."""
    warm = min(1.0, max(warmth, spent / LONGEST_WARM_UP))
    return (COLDEST + (1 - COLDEST) * warm) * 0.1 ** sum(spent >= drop for drop in DROPS)


def train_step(
    detector: FasterRCNN,
    optimizer: torch.optim.Optimizer,
    trained: list[nn.Parameter],
    samples: list[Sample],
    device: torch.device,
) -> float:
    """One step of gradient descent; the sum of the four losses."""
    images = [image.to(device) for image, _ in samples]
    targets = [{name: each.to(device) for name, each in target.items()} for _, target in samples]
    loss = torch.stack(list(detector(images, targets).values())).sum()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(trained, LARGEST_GRADIENT)
    optimizer.step()
    return loss.item()


def batches(split: Split, size: int, seed: int) -> Iterator[list[Sample]]:
    """Batches of images with objects, mirrored at random, in random order without end."""
    random = np.random.default_rng(seed)
    counted = ~(split.dataset.objects.crowd | split.dataset.objects.difficult)
    positions = np.unique(split.dataset.objects.image[counted])
    if not len(positions):
        raise ConfigError(f"data.train must have objects, got none in {split.dataset.name}")
    while True:
        order = random.permutation(positions)
        for first in range(0, len(order), size):
            yield [sample(split, int(each), random.random() < 0.5) for each in order[first : first + size]]


def sample(split: Split, position: int, mirrored: bool) -> Sample:
    """An image (3, H, W) in 0..1 with its objects but crowds and difficult ones, as torchvision wants them."""
    truth = split.dataset.truth(position)
    truth = take(truth, ~(truth.crowd | truth.difficult))
    image, boxes = pixels(split, position), torch.from_numpy(truth.boxes)
    if mirrored:
        image, width = image.flip(2), image.shape[2]
        boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    return image, {"boxes": boxes, "labels": torch.from_numpy(truth.labels)}


def pixels(split: Split, position: int) -> Tensor:
    """The image (3, H, W) in 0..1."""
    return torch.from_numpy(split.read(position)).permute(2, 0, 1).float() / WHITE


@torch.inference_mode()
def detect(trained: Trained, split: Split, device: torch.device) -> DetectionTable:
    """What the detector finds in the images of a split: nothing, where it has diverged."""
    if trained.has_diverged:
        return table_of([])
    detector = trained.detector.eval()
    found = []
    for position in tqdm(range(len(split)), "test", unit="image", leave=False, disable=None):
        output = detector([pixels(split, position).to(device)])[0]
        boxes, labels, scores = (output[name].cpu().numpy() for name in ("boxes", "labels", "scores"))
        found.append(Detections(boxes.astype(np.float32), labels.astype(np.int64), scores.astype(np.float32)))
    return table_of(found)
