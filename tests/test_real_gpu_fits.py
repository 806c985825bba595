"""What a GPU fits and trains beside region classifiers is what a CPU does; skipped where there is none."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from drawn_pictures import boxes_of, picture
from torch import Tensor, nn

from detector.boxes import decode_boxes
from detector.config import SvmSettings, TrainingSettings
from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.backbones import make_backbone
from detector.networks.context_maps import LinearRescoring
from detector.networks.multibox import MultiBox
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import BVLC
from detector.training import image_batches, multibox_loss
from detector.training.context_fit import RescoringRows, fit_rescoring
from detector.training.loop import Trainer, parameter_groups
from detector.training.mining import Chunk, train_svms
from detector.training.objectives import ImageObjective
from detector.training.ridge import choose_ridge, fit_ridge
from detector.training.schedule import Schedule

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

CPU, GPU = torch.device("cpu"), torch.device("cuda")
STEPS, IMAGES = 3, 6
SETTINGS = TrainingSettings(batch_size=IMAGES, learning_rate=1e-4)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """fp32 as CPUs have it, and no dropout, which a GPU draws in its own way."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(nn.functional, "dropout", lambda tensor, *how: tensor)


def test_a_rescoring_is_fitted_as_on_the_cpu() -> None:
    random = np.random.default_rng(0)
    groups = np.sort(random.integers(0, 20, 120))
    own, image = random.normal(size=(120, 3, 4)), random.normal(size=(20, 5))
    targets = np.where(own[:, :, 0] + image[groups][:, :3] + random.normal(size=(120, 3)) > 0, 1, -1)
    rows = RescoringRows(own.astype(np.float32), image.astype(np.float32), groups, targets.astype(np.int8))
    prior = LinearRescoring(torch.zeros(3, 4), torch.zeros(3, 5), torch.zeros(3))
    one, other = (fit_rescoring(rows, prior, device=str(device)) for device in (CPU, GPU))
    np.testing.assert_array_equal(one.penalties, other.penalties)
    for name, value in one.linear.state_dict().items():
        torch.testing.assert_close(other.linear.state_dict()[name], value, rtol=0, atol=1e-3)


@pytest.mark.parametrize("count", [40, 400], ids=["by rows", "by features"])
def test_box_regressors_are_fitted_as_on_the_cpu(count: int) -> None:
    random = np.random.default_rng(0)
    features = torch.from_numpy(np.abs(random.normal(size=(count, 64))).astype(np.float32))
    regions = np.concatenate([boxes_of(number) for number in range(count // 6 + 1)])[:count]
    objects = decode_boxes(regions, features.numpy() @ random.normal(size=(64, 4)) / 100).astype(np.float32)
    images = np.arange(count) // 8
    found = []
    for device in (CPU, GPU):
        placed = features.to(device)
        ridge = choose_ridge(placed, regions, objects, images)
        found.append((ridge, *(each.cpu() for each in fit_ridge(placed, regions, objects, ridge))))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)


def test_svms_are_mined_as_on_the_cpu() -> None:
    random = np.random.default_rng(0)
    labels = torch.arange(60) % 3 + 1
    centres = 2 * random.normal(size=(4, 16))
    positives = torch.from_numpy((random.normal(size=(60, 16)) + centres[labels]).astype(np.float32))
    features = torch.from_numpy(random.normal(size=(600, 16)).astype(np.float32))

    def chunks(device: torch.device) -> Callable[[], Iterator[Chunk]]:
        parts = (torch.arange(600), features.to(device), torch.ones(600, 3, dtype=torch.bool))
        return lambda: map(Chunk, *(each.split(200) for each in parts))

    settings = SvmSettings(c=1e-2, retrain_after=100, tolerance=1e-6)
    one, other = (train_svms(positives, labels, chunks(device), 3, settings) for device in (CPU, GPU))
    torch.testing.assert_close(other.solution.weights, one.solution.weights, rtol=0, atol=1e-3)


@pytest.mark.parametrize("variant", ["paper", "paper_bn"])
def test_a_classifier_with_auxiliary_heads_trains_as_on_the_cpu(variant: str) -> None:
    pixels = np.stack([picture(0)[:32, :32].repeat(2, 0).repeat(2, 1) + np.uint8(each) for each in range(IMAGES)])

    def batch(step: int, device: torch.device) -> image_batches.ImageBatch:
        crops = image_batches.Crops(step, torch.from_numpy(pixels), torch.arange(IMAGES) % 3)
        return image_batches.to_device(crops, BVLC, device)

    losses = [
        losses_of(WithAuxiliaryHeads(RegionClassifier(make_backbone(variant), 3)), ImageObjective(), batch, device)
        for device in seeded(CPU, GPU)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


@pytest.mark.parametrize("matching", ["priors", "predictions"])
def test_multibox_trains_as_on_the_cpu(matching: str) -> None:
    pixels = torch.from_numpy(np.stack([np.resize(picture(each), (224, 224, 3)) for each in range(IMAGES)]))
    boxes = torch.from_numpy(boxes_of(0) / 60).repeat(2, 1)
    owner, slots = torch.arange(12) // 2, torch.arange(12)

    def batch(step: int, device: torch.device) -> multibox_loss.WindowBatch:
        return multibox_loss.to_device(multibox_loss.DrawnWindows(step, pixels, owner, boxes, slots), BVLC, device)

    objective = multibox_loss.MultiBoxObjective(30.0, matching, 0.5, 2)
    losses = [
        losses_of(MultiBox(make_backbone("tiny"), "learned", torch.rand(20, 4)), objective, batch, device)
        for device in seeded(CPU, GPU)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


def seeded(*devices: torch.device) -> Iterator[torch.device]:
    """The devices, the global generator before each as before the others."""
    for device in devices:
        torch.manual_seed(0)
        yield device


def losses_of(
    network: nn.Module,
    objective: Callable[[Any, Any], tuple[Tensor, dict[str, Tensor]]],
    batch: Callable[[int, torch.device], Any],
    device: torch.device,
) -> list[float]:
    groups = parameter_groups([(network, 1.0)], SETTINGS.learning_rate, SETTINGS.weight_decay)
    schedule = Schedule("step", STEPS, 100, 0.1)
    trainer: Any = Trainer(network, objective, SETTINGS, schedule, groups, 0, device, torch.float32)
    return [done.read().loss for done in list(trainer.train(batch(step, device) for step in range(STEPS)))]
