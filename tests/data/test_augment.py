import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from detector.data.augment import PhotometricAugment
from detector.records import Image


def patch(height: int = 30, width: int = 20) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_strength_zero_changes_nothing() -> None:
    np.testing.assert_array_equal(PhotometricAugment(0.0)(patch(), 3), patch())


def test_same_seed_gives_the_same_image_and_others_give_others() -> None:
    distort = PhotometricAugment(0.5)
    first = distort(patch(), 3)
    distort(patch(5, 5), 4)
    np.testing.assert_array_equal(distort(patch(), 3), first)
    distinct = {distort(patch(), seed).tobytes() for seed in range(20)}
    assert len(distinct) == 20


def test_input_is_not_written_to() -> None:
    image = patch()
    image.flags.writeable = False
    PhotometricAugment(1.0)(image, 1)
    np.testing.assert_array_equal(image, patch())


def test_threads_and_copies_agree() -> None:
    distort = PhotometricAugment(0.5)
    alone = [distort(patch(), seed).tobytes() for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: distort(patch(), seed).tobytes(), range(40))) == alone
    copy = pickle.loads(pickle.dumps(distort))
    assert copy(patch(), 7).tobytes() == alone[7]


def test_global_seeds_do_not_matter() -> None:
    distort = PhotometricAugment(0.5)
    first = distort(patch(), 3)
    np.random.seed(0)  # noqa: NPY002 - that it has no effect is the point
    np.testing.assert_array_equal(distort(patch(), 3), first)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (50, 1), (2, 2), (3, 300)])
@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_any_size_and_strength_works(height: int, width: int, strength: float) -> None:
    for value in (0, 255):
        distorted = PhotometricAugment(strength)(np.full((height, width, 3), value, np.uint8), 5)
        assert distorted.shape == (height, width, 3)
        assert distorted.dtype == np.uint8


def test_stronger_changes_more() -> None:
    def change(strength: float) -> float:
        distort = PhotometricAugment(strength)
        return float(np.mean([np.abs(distort(patch(), seed).astype(int) - patch()).mean() for seed in range(50)]))

    assert 0 < change(0.1) < change(0.4) < change(1.0)


def test_brightness_and_each_channel_vary_both_ways() -> None:
    grey = np.full((8, 8, 3), 120, np.uint8)
    means = np.array([PhotometricAugment(0.5)(grey, seed).mean(axis=(0, 1)) for seed in range(100)])
    assert (means.min(axis=0) < 90).all()
    assert (means.max(axis=0) > 150).all()
    assert np.ptp(means - means.mean(axis=1, keepdims=True)) > 10
