from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detector.boxes import box_area, clip_boxes
from detector.config import MultiBoxSettings
from detector.networks.warp import IMAGENET
from detector.records import Float32, Image
from detector.training.image_batches import EpochSampler
from detector.training.multibox_loss import (
    MultiBoxObjective,
    WindowBatch,
    WindowSource,
    distances,
    draw_window,
    match_slots,
    mirrored,
    objects_within,
    to_device,
)

PRIORS = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0, 1, 1], [0.2, 0.2, 0.4, 0.4]], np.float32)


def test_matching_is_the_cheapest_of_all() -> None:
    random = np.random.default_rng(0)
    for objects in (1, 2, 3):
        cost = random.random((objects, 4))
        cheapest = min(permutations(range(4), objects), key=lambda slots: sum(cost[range(objects), slots]))
        assert match_slots(cost).tolist() == list(cheapest)


def test_two_objects_do_not_share_a_slot_and_those_left_over_get_none() -> None:
    twins = np.array([[0, 0, 0.5, 0.5]] * 2, np.float32)
    assert sorted(match_slots(distances(twins, PRIORS)).tolist()) == [0, 3]
    many = np.tile(twins, (3, 1))
    slots = match_slots(distances(many, PRIORS))
    assert (slots == -1).sum() == 2
    assert match_slots(distances(np.empty((0, 4)), PRIORS)).shape == (0,)


class Fixed(nn.Module):
    """Answers with the given boxes and logits."""

    def __init__(self, boxes: Tensor, logits: Tensor) -> None:
        super().__init__()
        self.boxes = nn.Parameter(boxes)
        self.logits = nn.Parameter(logits)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        return self.boxes, self.logits


def make_batch(step: int = 0) -> tuple[Fixed, WindowBatch]:
    """Two images: objects of the first in slots 0 and 2, none in the second."""
    torch.manual_seed(0)
    network = Fixed(torch.rand(2, 4, 4), torch.randn(2, 4))
    batch = WindowBatch(step, torch.empty(2), torch.tensor([0, 0]), torch.rand(2, 4), torch.tensor([0, 2]))
    return network, batch


def loss_by_hand(network: Fixed, batch: WindowBatch, slots: list[int], alpha: float, limit: float) -> float:
    """Equations 1 to 3 of arXiv 1312.2249, slot by slot."""
    match, confidence = 0.0, 0.0
    c = network.logits.sigmoid().tolist()
    for image in range(2):
        for slot in range(4):
            owned = [i for i, s in enumerate(slots) if batch.owner[i] == image and s == slot]
            if owned:
                match += 0.5 * (network.boxes[image, slot] - batch.boxes[owned[0]]).square().sum().item()
                confidence -= np.log(c[image][slot])
            elif c[image][slot] <= limit:
                confidence -= np.log(1 - c[image][slot])
    return (alpha * match + confidence) / 2


@pytest.mark.parametrize(("step", "limit"), [(0, 1.0), (10, 0.4)])
def test_the_loss_is_the_paper_s_with_confident_slots_dropped_later(step: int, limit: float) -> None:
    network, batch = make_batch(step)
    loss, metrics = MultiBoxObjective(0.3, "priors", 0.4, bootstrap_from=5)(network, batch)
    assert loss.item() == pytest.approx(loss_by_hand(network, batch, [0, 2], 0.3, limit), rel=1e-5)
    assert loss.item() == pytest.approx(
        0.3 * metrics["match_loss"].item() + metrics["confidence_loss"].item(), rel=1e-6
    )


def test_by_default_a_box_a_tenth_off_costs_about_as_much_as_a_confidence_of_a_half() -> None:
    network, batch = make_batch()
    exact = network.boxes.detach().clone()
    exact[batch.owner, batch.slots] = batch.boxes
    objective = MultiBoxObjective(MultiBoxSettings().box_weight, "priors", 1.0, bootstrap_from=0)
    right, _ = objective(Fixed(exact, network.logits.detach()), batch)
    wrong, _ = objective(Fixed(exact + 0.1, network.logits.detach()), batch)
    objects_an_image = len(batch.slots) / len(network.logits)
    assert (wrong - right).item() / objects_an_image == pytest.approx(0.6, rel=1e-4)  # and -log 0.5 is 0.69


def test_matching_by_prediction_minimises_the_loss() -> None:
    network, batch = make_batch()
    loss, _ = MultiBoxObjective(5.0, "predictions", 1.0, bootstrap_from=0)(network, batch)
    best = min(loss_by_hand(network, batch, list(slots), 5.0, 1.0) for slots in permutations(range(4), 2))
    assert loss.item() == pytest.approx(best, rel=1e-5)


def test_a_batch_without_objects_has_a_loss() -> None:
    network, batch = make_batch()
    empty = WindowBatch(0, batch.crops, batch.owner[:0], batch.boxes[:0], batch.slots[:0])
    for matching in ("priors", "predictions"):
        loss, metrics = MultiBoxObjective(0.3, matching, 1.0, 0)(network, empty)
        assert torch.isfinite(loss)
        assert metrics["match_loss"].item() == 0


def test_windows_are_the_image_or_parts_of_the_area_asked_for() -> None:
    random = np.random.default_rng(0)
    windows = np.array([draw_window(random, 200, 300, 0.3) for _ in range(400)])
    whole = (windows == [0, 0, 300, 200]).all(1)
    assert 0.4 < whole.mean() < 0.6
    sides = windows[:, 2:] - windows[:, :2]
    assert windows.min() >= 0
    assert (windows[:, 2:] <= [300, 200]).all()
    share = sides.prod(1) / 60000
    assert share.min() >= 0.22  # a stretched part that is as wide as the image loses the rest
    aspect = sides[:, 0] / sides[:, 1] / 1.5
    assert aspect.min() > 0.74
    assert aspect.max() < 1.35
    assert draw_window(random, 200, 300, 1) == (0, 0, 300, 200)


def test_objects_are_cut_to_the_window_and_dropped_where_little_shows() -> None:
    boxes = np.array([[10, 10, 30, 30], [0, 0, 11, 11], [90, 90, 95, 95]], np.float32)
    found = objects_within(boxes, (10, 10, 50, 30), 0.5)
    np.testing.assert_allclose(found, [[0, 0, 0.5, 1]])
    assert objects_within(np.empty((0, 4), np.float32), (0, 0, 5, 5), 0.5).shape == (0, 4)


def make_source(settings: MultiBoxSettings) -> WindowSource:
    def read_image(position: int) -> Image:
        image = np.zeros((80, 120, 3), np.uint8)
        image[20:60, 30:60] = 50 + position
        return image

    def read_boxes(position: int) -> Float32:
        return np.array([[30, 20, 60, 60]], np.float32)

    return WindowSource(
        EpochSampler(6, 4, seed=0), read_image, read_boxes, lambda image, seed: image, settings, PRIORS, 64
    )


@pytest.mark.parametrize("min_area", [1.0, 0.3])
def test_boxes_follow_their_objects_into_the_crop(min_area: float) -> None:
    source = make_source(MultiBoxSettings(min_area=min_area, min_visible=0.9))
    for step in range(6):
        windows = source[step]
        for owner, box in zip(windows.owner.tolist(), windows.boxes.numpy(), strict=True):
            rows, columns = np.nonzero(windows.pixels[owner, :, :, 0].numpy() > 25)
            seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 64
            np.testing.assert_allclose(box, seen, atol=1.5 / 64)


def test_a_batch_depends_on_its_step_alone() -> None:
    one, two = (make_source(MultiBoxSettings())[3] for _ in range(2))
    for a, b in zip(one[1:], two[1:], strict=True):
        assert torch.equal(a, b)


def test_objects_without_a_slot_are_left_out_on_the_device() -> None:
    windows = make_source(MultiBoxSettings())[0]
    lost = windows._replace(slots=torch.full_like(windows.slots, -1))
    batch = to_device(lost, IMAGENET, torch.device("cpu"))
    assert (len(batch.boxes), batch.crops.shape) == (0, (4, 3, 64, 64))


def test_mirroring_twice_changes_nothing() -> None:
    boxes = clip_boxes(np.random.default_rng(0).random((5, 4)).astype(np.float32), 1, 1)
    np.testing.assert_allclose(mirrored(mirrored(boxes)), boxes, atol=1e-6)
    np.testing.assert_allclose(box_area(mirrored(boxes)), box_area(boxes), atol=1e-6)
