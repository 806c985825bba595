from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from drawn_pictures import boxes_of, darken, picture

from detector.bilinear import sample_grids
from detector.config import FinetuneSettings, RegionSettings
from detector.errors import DataError
from detector.networks.transfers import transfers_of
from detector.networks.warp import IMAGENET, crop_regions, prepare_image
from detector.records import Float32, Image
from detector.training.batch import (
    ImageCache,
    PatchSource,
    RegionReader,
    cut_patch,
    place_samples,
    thin_patch,
    warp_on_cpu,
    warp_on_device,
    warp_patches,
)
from detector.training.batch_loading import load_batches
from detector.training.sample import RegionSampler

REGION = RegionSettings(crop_size=32, padding=3)
WIDE = RegionSettings(crop_size=32, padding=3, wide_padding=9, fill="image")
CPU = torch.device("cpu")


def untouched(image: Image, seed: int) -> Image:
    return image


def make_source(
    distort: Callable[[Image, int], Image] = untouched, region: RegionSettings = REGION
) -> PatchSource:
    labels = np.array([1, 0, 0, 2, 0, 0] * 3, np.int16)
    settings = FinetuneSettings(batch_size=10, positives=3)
    sampler = RegionSampler(labels, np.arange(4) * 6, settings, 3, seed=0)
    return PatchSource(RegionReader(sampler.draw, picture, boxes_of, distort, cache_bytes=30_000), region)


@pytest.mark.parametrize("region", [REGION, WIDE])
@pytest.mark.parametrize("box", [[5.5, 7.2, 30.1, 20.9], [0, 0, 70, 50], [0, 40, 9, 50], [60.5, 0, 70, 3]])
def test_a_warped_patch_equals_the_warp_of_the_whole_image(box: list[float], region: RegionSettings) -> None:
    image, array = picture(0), np.array(box, np.float32)
    patch, inside = cut_patch(image, array, region)
    assert patch.size <= image.size
    crops = [
        crop_regions(prepare_image(torch.from_numpy(p.copy()), IMAGENET), torch.from_numpy(b[None]), region)
        for p, b in ((patch, inside), (image, array))
    ]
    torch.testing.assert_close(crops[0], crops[1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("region", [REGION, WIDE])
def test_a_batch_holds_the_drawn_regions_mirrored_where_drawn_so(region: RegionSettings) -> None:
    source = make_source(region=region)
    batch = warp_patches(source[4], IMAGENET, region, CPU)
    draw = source.reader.draw(4)
    assert draw.mirror.any()
    assert batch.labels.tolist() == draw.label.tolist()
    for crop, image, row, mirror in zip(batch.crops, draw.image, draw.region, draw.mirror, strict=True):
        box = torch.from_numpy(boxes_of(int(image))[row][None])
        wanted = crop_regions(prepare_image(torch.from_numpy(picture(int(image))), IMAGENET), box, region)[0]
        torch.testing.assert_close(crop, wanted.flip(2) if mirror else wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize("region", [REGION, WIDE])
def test_all_patches_at_once_are_warped_as_one_after_another(region: RegionSettings) -> None:
    patches, way = make_source(region=region)[4], transfers_of(CPU)
    one, other = (warp(patches, IMAGENET, region, way) for warp in (warp_on_cpu, warp_on_device))
    assert one.is_contiguous(memory_format=torch.channels_last) == other.is_contiguous(
        memory_format=torch.channels_last
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def crops_of(patch: Image, samples: Float32, region: RegionSettings) -> Float32:
    pixels = np.ascontiguousarray(patch, np.float32)
    return sample_grids(pixels, samples[:, 0], samples[:, 1], region.fill == "mean")


@pytest.mark.parametrize("region", [REGION, WIDE])
@pytest.mark.parametrize("size", [(900, 1300), (65, 700), (2000, 40)])
def test_pixels_that_no_sample_reads_are_left_out_and_crops_stay_the_same(
    size: tuple[int, int], region: RegionSettings
) -> None:
    random = np.random.default_rng(sum(size))
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    share = np.sort(random.uniform(-0.1, 1.1, (8, 2, 2)), 1).reshape(8, 4)
    for box in (share * ([size[1], size[0]] * 2)).astype(np.float32):
        patch, inside = cut_patch(image, box, region)
        samples = place_samples(inside[None], region)[0]
        moved = samples.copy()
        thinned = thin_patch(patch, moved)
        most = 2 * region.crop_size * len(region.paddings)
        for side, before in zip(thinned.shape[:2], patch.shape[:2], strict=True):
            assert side <= min(before, max(most, 2 * region.crop_size))
        assert np.array_equal(crops_of(thinned, moved, region), crops_of(patch, samples, region))


def test_a_patch_of_up_to_twice_its_crops_is_sent_as_it_is() -> None:
    patch = np.zeros((64, 40, 3), np.uint8)
    samples = place_samples(np.array([[0, 0, 40, 64]], np.float32), REGION)[0]
    before = samples.copy()
    assert thin_patch(patch, samples) is patch
    assert np.array_equal(samples, before)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(workers: int) -> None:
    alone = list(load_batches(make_source(darken), 3, 7, workers=0, pin=False))
    together = list(load_batches(make_source(darken), 3, 7, workers=workers, pin=False))
    assert [patches.step for patches in together] == [3, 4, 5, 6]
    for one, two in zip(alone, together, strict=True):
        assert torch.equal(one.pixels, two.pixels)
        assert torch.equal(one.samples, two.samples)


def test_the_same_region_is_distorted_otherwise_at_another_step() -> None:
    source = make_source(darken)
    means = {float(source[step].pixels.float().mean()) for step in range(4)}
    assert len(means) == 4


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_line_also_from_a_worker(workers: int) -> None:
    def fail(position: int) -> Image:
        raise DataError(f"image {position} is broken")

    source = make_source()
    source.reader = replace(source.reader, read_image=fail)
    with pytest.raises(DataError, match=r"^image \d is broken$"):
        list(load_batches(source, 0, 1, workers, pin=False))


def test_the_cache_drops_the_least_recently_used_image() -> None:
    reads: list[int] = []

    def read(position: int) -> Image:
        reads.append(position)
        return np.zeros((10, 10, 3), np.uint8)

    cache = ImageCache(limit=700)  # two images of 300 bytes
    get = partial(cache.get, read=read)
    for position in (0, 1, 0, 2, 0, 1):
        get(position)
    assert reads == [0, 1, 2, 1]
    assert cache.bytes == 600
