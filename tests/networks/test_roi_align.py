import pytest
import torch
from random_networks import noise

from detector.networks.roi_align import MOST_SAMPLES, Windows, align, join_maps
from detector.networks.warp import Fill

torchvision = pytest.importorskip("torchvision")

CELLS = 7


def windows_of(boxes: torch.Tensor, maps: torch.Tensor) -> Windows:
    """Windows that RoIAlign puts into boxes (N, 4), in cells: its bins' centres, where a map's own are at .5."""
    step = (boxes[:, 2:] - boxes[:, :2]) / CELLS
    return Windows(maps, boxes[:, :2] + step / 2 - 0.5, step)


def random_boxes(count: int, largest: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 14 - 3
    return torch.cat([corner, corner + torch.rand(count, 2, generator=generator) * largest + 0.1], 1)


def test_a_window_on_the_cells_themselves_copies_them() -> None:
    table = join_maps([torch.arange(12.0).view(1, 1, 3, 4)])
    windows = Windows(torch.tensor([0]), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2))
    assert align(table, windows, 2, "mean").tolist() == [[[[1, 2], [5, 6]]]]


def test_between_two_cells_is_their_mean() -> None:
    table = join_maps([torch.arange(12.0).view(1, 1, 3, 4)])
    windows = Windows(torch.tensor([0]), torch.tensor([[0.5, 1.5]]), torch.ones(1, 2))
    assert align(table, windows, 1, "mean").tolist() == [[[[6.5]]]]


@pytest.mark.parametrize(("fill", "outside"), [("mean", 0.0), ("image", 3.0)])
def test_outside_the_map_are_zeros_or_its_nearest_cells(fill: Fill, outside: float) -> None:
    table = join_maps([torch.full((1, 2, 3, 4), 3.0)])
    windows = Windows(torch.tensor([0]), torch.tensor([[-1.5, 0.0]]), torch.ones(1, 2))
    pooled = align(table, windows, 3, fill)[0, 0]
    assert pooled[:, 0].tolist() == [outside] * 3
    assert pooled[:, 1:].unique().tolist() == [3.0]


@pytest.mark.parametrize("largest", [6.0, 40.0])
def test_it_equals_torchvision_on_maps_of_several_sizes(largest: float) -> None:
    maps = [noise(1, 5, 9, 13, seed=1), noise(1, 5, 12, 8, seed=2)]
    boxes, which = random_boxes(60, largest, 3), torch.arange(60) % 2
    found = align(join_maps(maps), windows_of(boxes, which), CELLS, "mean")
    assert found.is_contiguous(memory_format=torch.channels_last)
    for row, (box, own) in enumerate(zip(boxes, which.tolist(), strict=True)):
        bins = (box[2:] - box[:2]).max() / CELLS
        samples = min(max(int(bins.ceil()), 1), MOST_SAMPLES)
        wanted = torchvision.ops.roi_align(maps[own], [box[None]], CELLS, 1.0, samples, aligned=True)
        torch.testing.assert_close(found[row], wanted[0], rtol=1e-4, atol=1e-5)


def test_its_gradients_are_those_of_torchvision() -> None:
    boxes, weights = random_boxes(20, 30.0, 5), noise(20, 4, CELLS, CELLS, seed=6)
    boxes[:, 2:] = boxes[:, 2:].maximum(boxes[:, :2] + CELLS * 1.1)  # two samples each, in both ways
    gradients = []
    for ours in (True, False):
        feature_map = noise(1, 4, 9, 13, seed=4).requires_grad_()
        if ours:
            pooled = align(join_maps([feature_map]), windows_of(boxes, torch.zeros(20).long()), CELLS, "mean")
        else:
            pooled = torchvision.ops.roi_align(feature_map, [boxes], CELLS, 1.0, 2, aligned=True)
        (pooled * weights).sum().backward()
        gradients.append(feature_map.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-4)


def test_no_regions_have_no_maps() -> None:
    nothing = Windows(torch.empty(0).long(), torch.empty(0, 2), torch.empty(0, 2))
    assert align(join_maps([noise(1, 5, 3, 3)]), nothing, CELLS, "mean").shape == (0, 5, CELLS, CELLS)
