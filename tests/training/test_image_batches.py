from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.errors import DataError
from detector.networks.warp import IMAGENET, prepare_image
from detector.records import Image
from detector.training.batch_loading import load_batches
from detector.training.image_batches import CropSource, EpochSampler, to_device


def seen(sampler: EpochSampler, steps: range) -> list[int]:
    return [position for step in steps for position in sampler.positions(step).tolist()]


def test_every_epoch_goes_over_all_images_once_in_an_order_of_its_own() -> None:
    order = seen(EpochSampler(10, 4, seed=0), range(5))  # 20 draws: two epochs, the first ends within a batch
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]
    assert order != seen(EpochSampler(10, 4, seed=1), range(5))


def test_a_step_does_not_depend_on_the_steps_before_it() -> None:
    one, two = EpochSampler(10, 4, seed=0), EpochSampler(10, 4, seed=0)
    list(map(one.positions, range(7)))
    assert one.positions(7).tolist() == two.positions(7).tolist()
    assert one.seeds(7).tolist() == two.seeds(7).tolist()


def test_processes_share_a_batch_out() -> None:
    whole = EpochSampler(10, 6, seed=0)
    parts = [EpochSampler(10, 6, seed=0, rank=rank, world=3) for rank in range(3)]
    for step in range(4):
        assert np.concatenate([part.positions(step) for part in parts]).tolist() == whole.positions(step).tolist()
        assert np.concatenate([part.seeds(step) for part in parts]).tolist() == whole.seeds(step).tolist()


def test_batches_larger_than_the_set_repeat_it() -> None:
    assert Counter(EpochSampler(2, 6, seed=0).positions(0).tolist()) == {0: 3, 1: 3}


def read(position: int) -> Image:
    return np.full((4, 4, 3), position, np.uint8)


def shift(image: Image, seed: int) -> Image:
    return image + np.uint8(seed % 100)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_crop(workers: int) -> None:
    labels = np.arange(10, dtype=np.int64) % 3
    source = CropSource(EpochSampler(10, 4, seed=0), labels, read, shift)
    alone = list(load_batches(source, 2, 5, 0, pin=False))
    together = list(load_batches(source, 2, 5, workers, pin=False))
    assert [batch.step for batch in together] == [2, 3, 4]
    for one, two in zip(alone, together, strict=True):
        assert torch.equal(one.pixels, two.pixels)
        assert torch.equal(one.labels, two.labels)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_told_from_any_worker(workers: int) -> None:
    def missing(position: int) -> Image:
        raise DataError(f"image must be readable, got {Path('lost.jpg')}")

    source = CropSource(EpochSampler(10, 4, seed=0), np.zeros(10, np.int64), missing, shift)
    with pytest.raises(DataError, match=r"lost\.jpg"):
        list(load_batches(source, 0, 1, workers, pin=False))


def test_a_batch_on_the_device_is_preprocessed() -> None:
    source = CropSource(EpochSampler(3, 2, seed=0), np.arange(3), read, shift)
    crops = source[1]
    batch = to_device(crops, IMAGENET, torch.device("cpu"))
    assert (batch.step, batch.crops.shape) == (1, (2, 3, 4, 4))
    for crop, pixels in zip(batch.crops, crops.pixels, strict=True):
        torch.testing.assert_close(crop, prepare_image(pixels, IMAGENET)[0])
