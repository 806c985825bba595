import json
from typing import Literal

import numpy as np
import pytest
import torch
from oracles_warp import warp_one

from detector.bilinear import sample_grids
from detector.config import RegionSettings
from detector.networks.warp import (
    BVLC,
    IMAGENET,
    Preprocessing,
    crop_regions,
    prepare_image,
    sample_on_device,
    sample_positions,
    warp_packed,
    warp_regions,
)

PLAIN = Preprocessing("RGB", (0, 0, 0), (1, 1, 1))


def picture(height: int, width: int) -> torch.Tensor:
    random = np.random.default_rng(height)
    return torch.from_numpy(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_the_whole_image_at_its_own_size_is_itself() -> None:
    image = picture(32, 32)
    crop = warp_regions(prepare_image(image, PLAIN), torch.tensor([[0.0, 0.0, 32.0, 32.0]]), 32, 0)
    torch.testing.assert_close(crop[0].permute(1, 2, 0), image.float(), rtol=0, atol=2e-3)


def test_padding_shows_sixteen_pixels_of_surroundings_in_the_crop() -> None:
    image = torch.zeros(400, 400, 3, dtype=torch.uint8)
    image[104:296, 104:296] = 200  # a square of 192 pixels: 224 - 2 * 16
    crop = warp_regions(prepare_image(image, PLAIN), torch.tensor([[104.0, 104.0, 296.0, 296.0]]), 224, 16)
    inside = crop[0, 0] > 100
    assert inside[16:208, 16:208].all()
    assert inside.sum() == 192 * 192


def test_what_is_outside_the_image_is_zero_after_the_mean() -> None:
    image = torch.full((50, 50, 3), 255, dtype=torch.uint8)
    crop = warp_regions(prepare_image(image, BVLC), torch.tensor([[0.0, 0.0, 50.0, 50.0]]), 224, 16)
    assert crop[0, :, :16].abs().max() == 0
    assert crop[0, :, :, -16:].abs().max() == 0
    torch.testing.assert_close(crop[0, :, 112, 112], 255 - torch.tensor(BVLC.mean))


def test_what_is_outside_may_be_the_nearest_pixels_of_the_image() -> None:
    image = picture(20, 20)
    crop = warp_regions(prepare_image(image, PLAIN), torch.tensor([[0.0, 0.0, 20.0, 20.0]]), 28, 4, "image")
    wanted = np.pad(image.numpy(), ((4, 4), (4, 4), (0, 0)), mode="edge")
    np.testing.assert_allclose(crop[0].permute(1, 2, 0).numpy(), wanted, atol=2e-3)


def test_a_wide_crop_follows_the_tight_one_in_the_channels() -> None:
    prepared, boxes = prepare_image(picture(37, 53), BVLC), torch.tensor([[5.0, 4.0, 30.0, 20.0]] * 2)
    region = RegionSettings(crop_size=32, padding=3, wide_padding=9, fill="image")
    crops = crop_regions(prepared, boxes, region)
    assert crops.shape == (2, 6, 32, 32)
    for channels, padding in ((crops[:, :3], 3), (crops[:, 3:], 9)):
        assert torch.equal(channels, warp_regions(prepared, boxes, 32, padding, "image"))
    tight = crop_regions(prepared, boxes, RegionSettings(crop_size=32, padding=3))
    assert torch.equal(tight, warp_regions(prepared, boxes, 32, 3))


@pytest.mark.parametrize("fill", ["mean", "image"])
@pytest.mark.parametrize("padding", [0, 3])
def test_the_warp_equals_the_oracle_on_random_boxes(padding: int, fill: Literal["mean", "image"]) -> None:
    image = picture(37, 53)
    random = np.random.default_rng(1)
    corner = random.uniform(0, 30, (12, 2))
    boxes = np.concatenate([corner, corner + random.uniform(0.5, 23, (12, 2))], 1).astype(np.float32)
    crops = warp_regions(prepare_image(image, PLAIN), torch.from_numpy(boxes), 16, padding, fill)
    for crop, box in zip(crops, boxes, strict=True):
        wanted = warp_one(image.numpy().astype(float), box.astype(float), 16, padding, fill)
        np.testing.assert_allclose(crop.permute(1, 2, 0).numpy(), wanted, atol=0.05)


@pytest.mark.parametrize("fill_outside", [True, False])
@pytest.mark.parametrize("size", [(37, 53), (1, 40), (40, 1), (1, 1), (2, 2)])
def test_both_ways_to_sample_agree(size: tuple[int, int], fill_outside: bool) -> None:
    prepared = prepare_image(picture(*size), BVLC)
    random = np.random.default_rng(2)
    low, side = random.uniform(-60, 40, (2, 20, 1)), random.uniform(0.01, 90, (2, 20, 1))
    x, y = torch.from_numpy((low + side * np.linspace(0, 1, 16)).astype(np.float32))  # some quite outside
    crops = torch.from_numpy(
        sample_grids(prepared[0].permute(1, 2, 0).numpy(), x.numpy(), y.numpy(), fill_outside)
    )
    wanted = sample_on_device(prepared, x, y, fill_outside)
    torch.testing.assert_close(crops.permute(0, 3, 1, 2), wanted, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    "region",
    [
        RegionSettings(crop_size=32, padding=p, wide_padding=w, fill=f)
        for p, w, f in ((0, 0, "mean"), (3, 0, "image"), (3, 5, "mean"))
    ],
)
def test_the_warp_of_packed_images_equals_the_oracle(region: RegionSettings) -> None:
    images = [picture(*size) for size in ((37, 53), (1, 40), (40, 1), (1, 1), (2, 2), (20, 30))]
    corner = np.random.default_rng(1).uniform(-5, 20, (len(images), 2))
    boxes = np.concatenate([corner, corner + 13.7], 1).astype(np.float32)
    samples = [sample_positions(torch.from_numpy(boxes), 32, padding) for padding in region.paddings]
    crops = warp_packed(
        torch.cat([image.flatten(0, 1) for image in images]),
        torch.tensor([image.shape[:2] for image in images]),
        torch.stack(samples, 1),
        PLAIN,
        region.fill,
    )
    assert crops.shape == (len(images), 3 * len(region.paddings), 32, 32)
    for crop, image, box in zip(crops, images, boxes.astype(float), strict=True):
        for part, padding in zip(crop.split(3), region.paddings, strict=True):
            wanted = warp_one(image.numpy().astype(float), box, 32, padding, region.fill)
            np.testing.assert_allclose(part.permute(1, 2, 0).numpy(), wanted, atol=5e-3)


def test_no_boxes_give_no_crops() -> None:
    assert warp_regions(prepare_image(picture(9, 9), PLAIN), torch.empty(0, 4), 16, 2).shape == (0, 3, 16, 16)


def test_bvlc_sees_blue_first() -> None:
    image = torch.tensor([[[10, 20, 30]]], dtype=torch.uint8)
    prepared = prepare_image(image, BVLC)[0, :, 0, 0]
    assert prepared.tolist() == [30 - 104, 20 - 117, 10 - 123]


def test_preprocessing_survives_json() -> None:
    for preprocessing in (BVLC, IMAGENET):
        assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing
