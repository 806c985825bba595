from collections.abc import Callable

import pytest
import torch
from random_networks import googlenet_of, noise, randomise
from torch import Tensor, nn
from torch.nn import functional

from detector.config import RegionSettings
from detector.networks.backbones import make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import SHARED, GoogLeNet
from detector.networks.roi_align import join_maps
from detector.networks.shared_map import (
    ImageRegions,
    SharedClassifier,
    place_regions,
    pool_windows,
    scale_image,
    scaled_sizes,
)

REGION = RegionSettings(mode="shared", crop_size=64, padding=0, shared_side=64)


def make_network(region: RegionSettings, variant: Variant = "paper") -> SharedClassifier:
    network = SharedClassifier(make_backbone(variant), 3, 0.4, region)
    randomise(network)
    return network.eval()


def regions_of(image: Tensor, boxes: Tensor, region: RegionSettings) -> ImageRegions:
    placed = place_regions(boxes, image.shape[2], image.shape[3], region, SHARED)
    return ImageRegions(scale_image(image, placed.sizes), placed.windows)


@pytest.mark.parametrize("size", [32, 64, 75, 97, 112, 224, 227])
def test_the_side_of_a_crop_s_map_is_the_network_s(size: int) -> None:
    with torch.device("meta"):
        shape = GoogLeNet("paper").trunk(torch.empty(1, 3, size, size)).shape
    assert SHARED.map_side(size) == shape[2]


@torch.inference_mode()
@pytest.mark.parametrize("variant", ["paper", "paper_bn", "torchvision"])
def test_a_region_that_is_the_image_at_the_crop_s_size_is_its_crop(variant: Variant) -> None:
    network, image = make_network(REGION, variant), noise(1, 3, 64, 64)
    found = network([regions_of(image, torch.tensor([[0.0, 0.0, 64.0, 64.0]]), REGION)])
    wanted = network.classify(network.features(image))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_cell_is_taken_from_where_the_same_cell_of_a_crop_looks() -> None:
    region = RegionSettings(mode="shared", padding=16, shared_side=448, shared_longest=2000)
    placed = place_regions(torch.tensor([[16.0, 32.0, 208.0, 128.0]]), 300, 224, region, SHARED)
    factor = placed.sizes[0][1] / 224
    corner = torch.tensor([16.0 - 16, 32.0 - 8]) * factor  # with 16 of 224 pixels around it
    for cell in (0, 6, 13):
        share = torch.tensor([16 * cell + SHARED.first] * 2) / 224
        pixel = corner + share * torch.tensor([224.0, 112.0]) * factor
        place = placed.windows.start[0] + cell * placed.windows.step[0]
        torch.testing.assert_close(16 * place + SHARED.first, pixel, rtol=1e-4, atol=1e-2)


def test_the_first_cell_looks_at_the_mean_place_of_what_goes_into_it() -> None:
    places = torch.arange(400)[None, None].expand(1, 400, 400) + 0.5
    places = places[:, ::2, ::2]  # where the kernels of conv1 are centred
    for _ in range(3):
        places = functional.avg_pool2d(places, 3, 2, ceil_mode=True)
    assert places[0, 0, :20].tolist() == [SHARED.cell * cell + SHARED.first for cell in range(20)]


@torch.inference_mode()
def test_images_and_scales_share_one_table() -> None:
    region = RegionSettings(mode="shared", crop_size=64, padding=4, shared_side=(48, 96), shared_longest=200)
    network = make_network(region)
    pairs = [
        (noise(1, 3, 50, 80, seed=1), torch.tensor([[0.0, 0.0, 80.0, 50.0], [10.0, 10.0, 30.0, 25.0]])),
        (noise(1, 3, 70, 60, seed=2), torch.tensor([[5.0, 5.0, 25.0, 30.0]])),
    ]
    images = [regions_of(*pair, region) for pair in pairs]
    assert [len(image.copies) for image in images] == [2, 1]
    together = network(images)
    alone = [network([regions_of(image, box[None], region)]) for image, boxes in pairs for box in boxes]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_wide_crop_is_pooled_behind_the_tight_one() -> None:
    region = RegionSettings(mode="shared", crop_size=64, padding=4, wide_padding=16, shared_side=96)
    image, boxes = noise(1, 3, 80, 90), torch.tensor([[20.0, 20.0, 50.0, 60.0], [1.0, 2.0, 40.0, 30.0]])
    maps = join_maps([noise(1, 832, 6, 6)])
    pooled = pool_windows(maps, place_regions(boxes, 80, 90, region, SHARED).windows, region, SHARED)
    assert pooled.shape == (2, 2 * 832, 4, 4)
    for part, padding in ((pooled[:, :832], 4), (pooled[:, 832:], 16)):
        single = region.model_copy(update={"padding": padding, "wide_padding": 0})
        windows = place_regions(boxes, 80, 90, single, SHARED).windows
        torch.testing.assert_close(part, pool_windows(maps, windows, single, SHARED))
    network = make_network(region)
    assert network([regions_of(image, boxes, region)]).shape == (2, 3)


def test_each_region_is_seen_at_the_scale_that_brings_it_nearest_to_the_crop_s_size() -> None:
    region = RegionSettings(mode="shared", padding=0, shared_side=(300, 600, 1200), shared_longest=5000)
    boxes = torch.tensor([[0.0, 0.0, 224.0, 224.0], [0.0, 0.0, 112.0, 112.0], [0.0, 0.0, 290.0, 290.0]])
    placed = place_regions(boxes, 300, 400, region, SHARED)
    assert placed.sizes == [(300, 400), (600, 800)]
    assert placed.windows.maps.tolist() == [0, 1, 0]


def test_images_are_scaled_by_their_shorter_side_up_to_the_longest() -> None:
    region = RegionSettings(mode="shared", shared_side=(480, 600))
    assert scaled_sizes(375, 500, region, 32) == [(480, 640), (600, 800)]
    assert scaled_sizes(200, 1000, region, 32) == [(200, 1000)] * 2
    assert scaled_sizes(4, 1000, region, 32) == [(32, 1000)] * 2


@pytest.mark.parametrize("convert", [nn.Identity(), nn.SyncBatchNorm.convert_sync_batchnorm])
@pytest.mark.parametrize("keeps", [False, True])
def test_gradients_reach_the_trunk_and_batch_norm_may_keep_its_statistics(
    keeps: bool, convert: Callable[[nn.Module], SharedClassifier]
) -> None:
    network = convert(SharedClassifier(make_backbone("paper_bn"), 3, 0.4, REGION, keeps)).train()
    before = network.state_dict()["backbone.conv1.norm.running_mean"].clone()
    image = noise(1, 3, 80, 90)
    network([regions_of(image, torch.tensor([[20.0, 20.0, 50.0, 60.0]]), REGION)]).sum().backward()
    gradient = googlenet_of(network).conv1.conv.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0
    assert torch.equal(network.state_dict()["backbone.conv1.norm.running_mean"], before) == keeps
