from collections import Counter

import numpy as np
import pytest
import torch
from oracles_crops import WantedCrop, walk_crops

from detector.errors import ConfigError
from detector.inference.multi_crop import CROPS, SQUARES, CropPlan, crop_scales, cut_crops, plan_crops, scaled_size
from detector.networks.warp import BVLC, Preprocessing
from detector.records import Image

PLAIN = Preprocessing("RGB", (0, 0, 0), (1, 1, 1))
SIZES = [(40, 61), (61, 40), (50, 50), (33, 47), (375, 500), (200, 91), (7, 20)]


def picture(height: int, width: int) -> Image:
    """Coarse noise under fine noise: smooth parts, edges and texture."""
    random = np.random.default_rng(height * 1000 + width)
    coarse = random.integers(0, 200, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
    return (coarse[:height, :width] + random.integers(0, 56, (height, width, 3))).astype(np.uint8)


def geometry(plan: CropPlan) -> list[tuple[object, ...]]:
    rows = zip(plan.scales.tolist(), plan.boxes.tolist(), plan.whole.tolist(), plan.mirrored.tolist(), strict=True)
    return [(scale, tuple(box), whole, mirrored) for scale, box, whole, mirrored in rows]


def test_a_landscape_photograph_by_hand() -> None:
    plan = plan_crops(375, 500, 144)
    sizes = [scaled_size(375, 500, scale) for scale in crop_scales(224)]
    assert sizes == [(256, 341), (288, 384), (320, 427), (352, 469)]
    assert geometry(plan)[:12] == [
        (256, (58, 16, 282, 240), False, False),
        (256, (42, 0, 266, 224), False, False),
        (256, (74, 0, 298, 224), False, False),
        (256, (42, 32, 266, 256), False, False),
        (256, (74, 32, 298, 256), False, False),
        (256, (58, 16, 282, 240), False, True),
        (256, (42, 0, 266, 224), False, True),
        (256, (74, 0, 298, 224), False, True),
        (256, (42, 32, 266, 256), False, True),
        (256, (74, 32, 298, 256), False, True),
        (256, (42, 0, 298, 256), True, False),
        (256, (42, 0, 298, 256), True, True),
    ]
    assert geometry(plan)[-1] == (352, (469 - 352, 0, 469, 352), True, True)


def test_there_are_four_scales_of_three_squares_of_six_parts_of_two_mirrors() -> None:
    plan = plan_crops(375, 500, 144)
    assert Counter(plan.scales.tolist()) == {256: 36, 288: 36, 320: 36, 352: 36}
    assert Counter(plan.squares.tolist()) == dict.fromkeys(range(len(SQUARES)), 48)
    assert plan.whole.sum() == 4 * 3 * 2
    assert plan.mirrored.sum() == 72
    assert len(set(geometry(plan))) == 144


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("size", [32, 64, 224])
def test_the_geometry_is_that_of_the_paper_s_sentence(height: int, width: int, size: int) -> None:
    wanted = Counter(crop.geometry for crop in walk_crops(picture(height, width), size))
    assert Counter(geometry(plan_crops(height, width, 144, size))) == wanted


@pytest.mark.parametrize("count", CROPS)
def test_the_smaller_tests_are_prefixes_of_the_largest(count: int) -> None:
    assert geometry(plan_crops(61, 40, 144, 64))[:count] == geometry(plan_crops(61, 40, count, 64))


def test_the_ten_are_the_centre_square_s_corners_and_centre_mirrored() -> None:
    wanted = {
        crop.geometry
        for crop in walk_crops(picture(40, 61), 32)
        if crop.scale == 37 and crop.square == "centre" and crop.part != "whole"
    }
    plan = plan_crops(40, 61, 10, 32)
    assert set(geometry(plan)) == wanted
    assert len(plan) == 10
    assert not plan_crops(40, 61, 1, 32).mirrored[0]


def test_squares_are_named_along_the_longer_side() -> None:
    for height, width, axis in ((40, 90, 0), (90, 40, 1)):
        plan = plan_crops(height, width, 144, 32)
        starts = [plan.boxes[(plan.squares == n) & plan.whole, axis].max() for n in range(3)]
        assert starts[SQUARES.index("first")] == 0
        assert 0 < starts[SQUARES.index("centre")] < starts[SQUARES.index("last")]


def test_the_three_squares_of_a_square_image_coincide_and_all_count() -> None:
    plan = plan_crops(50, 50, 144, 32)
    assert set(Counter(geometry(plan)).values()) == {3}
    assert len(plan) == 144


def test_a_portrait_is_planned_as_the_landscape_turned() -> None:
    landscape, portrait = plan_crops(40, 61, 144, 32), plan_crops(61, 40, 144, 32)
    turned = portrait.boxes[:, [1, 0, 3, 2]]
    assert Counter(map(tuple, turned.tolist())) == Counter(map(tuple, landscape.boxes.tolist()))
    np.testing.assert_array_equal(landscape.squares, portrait.squares)


def test_lengths_are_rounded_half_up() -> None:
    assert scaled_size(40, 61, 20) == (20, 31)  # 30.5
    assert scaled_size(61, 40, 20) == (31, 20)
    assert crop_scales(64) == (73, 82, 91, 101)


def test_boxes_lie_in_the_scaled_image_whatever_its_shape() -> None:
    random = np.random.default_rng(0)
    for height, width in random.integers(1, 900, (50, 2)).tolist():
        plan = plan_crops(height, width, 144, 64)
        for scale, (x1, y1, x2, y2), whole in zip(plan.scales, plan.boxes, plan.whole, strict=True):
            rows, columns = scaled_size(height, width, int(scale))
            assert min(rows, columns) == scale
            assert 0 <= x1 < x2 <= columns
            assert 0 <= y1 < y2 <= rows
            assert x2 - x1 == y2 - y1 == (scale if whole else 64)


@pytest.mark.parametrize(("height", "width"), [(70, 101), (101, 70), (23, 23), (200, 333)])
def test_pixels_are_those_of_pil(height: int, width: int) -> None:
    # PIL rounds each pass of a resize to whole grey values: at most 0.5 + 0.5 here, and twice that where the
    # square is resized too. Its filter coefficients, of 22 bits, add less than 0.01.
    image = picture(height, width)
    crops = cut_crops(torch.from_numpy(image), 144, PLAIN, 32).permute(0, 2, 3, 1).numpy()
    wanted: dict[tuple[object, ...], WantedCrop] = {crop.geometry: crop for crop in walk_crops(image, 32)}
    for row, crop in zip(geometry(plan_crops(height, width, 144, 32)), crops, strict=True):
        limit = 2.01 if wanted[row].part == "whole" else 1.01
        np.testing.assert_allclose(crop, wanted[row].pixels.astype(float), rtol=0, atol=limit)


@pytest.mark.parametrize("count", CROPS)
def test_crops_come_in_the_order_of_the_plan_and_are_mirrored_pairs(count: int) -> None:
    image = torch.from_numpy(picture(90, 66))
    crops, most = cut_crops(image, count, PLAIN, 32), cut_crops(image, 144, PLAIN, 32)
    assert crops.shape == (count, 3, 32, 32)
    assert crops.dtype == torch.float32
    assert torch.equal(crops, most[:count])
    assert torch.equal(most[5:10], most[:5].flip(3))
    assert torch.equal(most[11], most[10].flip(2))


def test_the_single_crop_of_an_image_at_its_scale_is_its_middle() -> None:
    image = torch.from_numpy(picture(37, 60))  # 37 is the smallest scale for crops of 32
    crop = cut_crops(image, 1, PLAIN, 32)[0].permute(1, 2, 0)
    torch.testing.assert_close(crop, image[2:34, 13:45].float(), rtol=0, atol=1e-4)


def test_crops_are_preprocessed() -> None:
    image = torch.tensor([10, 20, 30], dtype=torch.uint8).expand(40, 50, 3)
    crops = cut_crops(image, 10, BVLC, 32)
    wanted = torch.tensor([30.0 - 104, 20 - 117, 10 - 123])[:, None, None]
    torch.testing.assert_close(crops, wanted.expand(10, 3, 32, 32), rtol=0, atol=1e-4)


def test_another_number_of_crops_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^crops must be one of 1, 10, 144, got 5$"):
        plan_crops(40, 50, 5)
