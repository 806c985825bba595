import torch
from random_networks import randomise

from detector.config import RegionSettings
from detector.networks.backbones import make_backbone
from detector.networks.multi_task import OFFSET_STD, BoxRegressor, MultiTaskClassifier
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import ImageRegions, SharedClassifier, place_regions


def test_a_trained_regressor_becomes_a_head_that_says_the_same_in_its_own_measure() -> None:
    regressor = BoxRegressor(6, 3, 2)
    randomise(regressor)
    last_map = torch.randn(5, 12, 7, 7, generator=torch.Generator().manual_seed(0))  # of two crops
    wanted = regressor(last_map) * torch.tensor(OFFSET_STD)
    head = regressor.head()
    torch.testing.assert_close(head(last_map), wanted)
    assert (head.grid, head.channels) == (2, 6)
    assert not any(value.requires_grad for value in head.state_dict().values())


def test_offsets_begin_near_none() -> None:
    torch.manual_seed(0)
    network = MultiTaskClassifier(RegionClassifier(make_backbone("tiny"), 3), 2)
    assert network(torch.randn(2, 3, 32, 32)).offsets.abs().max() < 0.1


def test_one_pass_answers_what_the_classifier_and_the_head_do() -> None:
    network = MultiTaskClassifier(RegionClassifier(make_backbone("tiny"), 4), 2).eval()
    randomise(network)
    crops = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = network(crops)
    torch.testing.assert_close(found.logits, network.network(crops))
    torch.testing.assert_close(found.offsets, network.boxes(network.network.last_map(crops)))
    assert found.offsets.shape == (3, 3, 4)


def test_regions_of_shared_maps_are_answered_too() -> None:
    region = RegionSettings(mode="shared", crop_size=32, padding=2, shared_side=64, shared_longest=100)
    backbone = make_backbone("tiny")
    network = MultiTaskClassifier(SharedClassifier(backbone, 3, 0.0, region), 2).eval()
    boxes = torch.tensor([[0.0, 0, 30, 30], [10, 10, 60, 50]])
    placed = place_regions(boxes, 64, 64, region, backbone.facts.shared)
    image = ImageRegions([torch.randn(1, 3, 64, 64)], placed.windows)
    found = network([image])
    torch.testing.assert_close(found.logits, network.network([image]))
    assert found.offsets.shape == (2, 2, 4)
