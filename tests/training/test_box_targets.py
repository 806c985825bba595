import numpy as np
import pytest
import torch
from drawn_pictures import boxes_of, picture
from torch import Tensor, nn
from torch.nn import functional

from detector.boxes import decode_boxes, encode_boxes
from detector.config import FinetuneSettings, RegionSettings
from detector.networks.multi_task import OFFSET_STD, Answers
from detector.networks.shared_map import mirror_boxes
from detector.networks.warp import IMAGENET
from detector.records import Array, Float32, GroundTruth, Image
from detector.training.batch import PatchSource, RegionBatch, RegionReader, warp_patches
from detector.training.box_targets import box_targets, mirror_targets
from detector.training.objectives import MultiTaskObjective, RegionObjective
from detector.training.sample import RegionSampler
from detector.training.shared_batches import ImageSampler, ImageSource

NONE = np.zeros(2, np.bool_)
TRUTH = GroundTruth(np.array([[0, 0, 10, 20], [40, 40, 60, 50]], np.float32), np.array([1, 2]), NONE, NONE)
REGIONS = np.array([[0, 0, 10, 20], [1, 2, 11, 22], [0, 0, 10, 9], [42, 40, 60, 52], [70, 70, 80, 80]], np.float32)


def test_targets_lead_from_regions_to_their_objects_and_the_others_have_none() -> None:
    targets = box_targets(REGIONS, TRUTH, 0.5)
    assert np.isnan(targets).all(1).tolist() == [False, False, True, False, True]
    for row, thing in ((0, 0), (1, 0), (3, 1)):
        moved = decode_boxes(REGIONS[row : row + 1], targets[row : row + 1])[0]
        np.testing.assert_allclose(moved, TRUTH.boxes[thing], atol=1e-4)


def test_objects_that_are_difficult_or_crowds_teach_no_box() -> None:
    truth = GroundTruth(TRUTH.boxes, TRUTH.labels, np.array([True, False]), np.array([False, True]))
    assert np.isnan(box_targets(REGIONS, truth, 0.5)).all()


def test_an_image_without_regions_has_no_targets() -> None:
    assert box_targets(REGIONS[:0], TRUTH, 0.5).shape == (0, 4)


def test_mirrored_targets_lead_to_mirrored_objects() -> None:
    targets = mirror_targets(box_targets(REGIONS[:2], TRUTH, 0.5), np.array([False, True]))
    mirrored, wanted = (mirror_boxes(torch.from_numpy(each), 100).numpy() for each in (REGIONS[1:2], TRUTH.boxes))
    np.testing.assert_allclose(decode_boxes(mirrored, targets[1:])[0], wanted[0], atol=1e-4)
    np.testing.assert_allclose(decode_boxes(REGIONS[:1], targets[:1])[0], TRUTH.boxes[0], atol=1e-4)


def untouched(image: Image, seed: int) -> Image:
    return image


def shifted(position: int, boxes: Float32) -> Float32:
    """Offsets to boxes moved to the right by as many pixels as the image's position and one."""
    return encode_boxes(boxes, boxes + np.array([1 + position, 0] * 2, np.float32)).astype(np.float32)


def sampler() -> RegionSampler:
    labels = np.array([1, 0, 0, 2, 0, 0] * 3, np.int16)
    return RegionSampler(labels, np.arange(4) * 6, FinetuneSettings(batch_size=12, positives=4), 4, seed=0)


def wanted_shifts(widths: Array, images: Array, mirror: Array) -> Array:
    return np.where(mirror, -1, 1) * (1 + images) / widths


def test_a_batch_of_crops_has_the_targets_of_its_regions() -> None:
    reader = RegionReader(sampler().draw, picture, boxes_of, untouched, 30_000, shifted)
    region = RegionSettings(crop_size=32, padding=3)
    batch = warp_patches(PatchSource(reader, region)[4], IMAGENET, region, torch.device("cpu"))
    draw = sampler().draw(4)
    boxes = np.stack([boxes_of(int(image))[row] for image, row in zip(draw.image, draw.region, strict=True)])
    assert 0 < draw.mirror.sum() < len(draw.mirror)
    wanted = wanted_shifts(boxes[:, 2] - boxes[:, 0], draw.image, draw.mirror)
    np.testing.assert_allclose(batch.targets[:, 0], wanted, rtol=1e-3)
    np.testing.assert_allclose(batch.targets[:, 1:], 0, atol=1e-6)


def test_a_batch_of_images_has_the_targets_of_its_regions() -> None:
    drawer = ImageSampler(sampler(), 2)
    step = next(step for step in range(20) if 0 < drawer.draw(step).mirror.sum() < 12)
    drawn = ImageSource(RegionReader(drawer.draw, picture, boxes_of, untouched, 30_000, shifted))[step]
    boxes = torch.cat(drawn.boxes).numpy()
    draw = drawer.draw(step)
    seen = {(int(image), bool(mirror)) for image, mirror in zip(draw.image, draw.mirror, strict=True)}
    shifts = drawn.targets[:, 0].numpy() * (boxes[:, 2] - boxes[:, 0])
    assert {(abs(round(shift)) - 1, shift < 0) for shift in shifts.tolist()} == seen


class Fixed(nn.Module):
    """Answers with given logits and offsets."""

    def __init__(self, logits: Tensor, offsets: Tensor) -> None:
        super().__init__()
        self.answers = Answers(logits, offsets.requires_grad_())

    def forward(self, crops: Tensor) -> Answers:
        return self.answers


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_the_loss_of_boxes_is_that_of_the_own_class_over_all_regions(weight: float) -> None:
    random = torch.Generator().manual_seed(0)
    logits, offsets = torch.randn(4, 3, generator=random), torch.randn(4, 2, 4, generator=random)
    labels = torch.tensor([2, 0, 1, 1])
    targets = torch.full((4, 4), torch.nan)
    targets[0] = torch.tensor([0.3, -0.2, 0.1, 0.0])
    targets[3] = torch.tensor([0.0, 0.1, -0.4, 0.2])
    network = Fixed(logits, offsets)
    batch = RegionBatch(0, torch.empty(4), labels, targets)
    loss, numbers = MultiTaskObjective(0.1, weight)(network, batch)
    unit = torch.tensor(OFFSET_STD)
    boxes = sum(
        functional.smooth_l1_loss(offsets[row, column], targets[row] / unit, reduction="sum")
        for row, column in ((0, 1), (3, 0))
    )
    classes, shares = RegionObjective(0.1)(lambda _: logits, batch)  # type: ignore[arg-type]
    torch.testing.assert_close(loss, classes + weight * boxes / 4)
    torch.testing.assert_close(numbers["box_loss"], boxes / 4)
    assert {name: numbers[name] for name in shares} == shares
    loss.backward()
    assert offsets.grad is not None
    learning = offsets.grad.abs().sum(2) > 0
    assert learning.tolist() == [[False, True], [False, False], [False, False], [True, False]]
