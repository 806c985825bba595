import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from detector.data.augment import CropAugment, PhotometricAugment
from detector.records import Float64, Image

AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
SIDE = 256  # of crops: images are no larger, so that enlarging keeps the values at the edges


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


def places(height: int = 200, width: int = 240) -> Image:
    """An image whose channels are x, y and noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(1).integers(0, 256, (height, width))
    return np.stack([x, y, noise], axis=2).astype(np.uint8)


def bilinear(mirror: bool = False) -> CropAugment:
    return CropAugment(SIDE, AREA, ASPECT, "bilinear", 0.0, mirror)


def box_of(crop: Image) -> tuple[int, int, int, int]:
    """The part (x1, y1, x2, y2) of `places` that `crop` shows, x1 > x2 where it is mirrored."""
    (x1, y1), (x2, y2) = crop[0, 0, :2].astype(int).tolist(), crop[-1, -1, :2].astype(int).tolist()
    return (x1, y1, x2 + 1, y2 + 1) if x1 <= x2 else (x1 + 1, y1, x2, y2 + 1)


def boxes_of(augment: CropAugment, image: Image, count: int) -> Float64:
    return np.array([box_of(augment(image, seed)) for seed in range(count)], float)


def drawn_sizes(height: int, width: int, count: int) -> Float64:
    """Widths and heights of `count` crops by the rule: drawn until they fit."""
    rng = np.random.default_rng(0)
    sizes: list[tuple[int, int]] = []
    while len(sizes) < count:
        area, aspect = rng.uniform(*AREA) * height * width, np.exp(rng.uniform(*np.log(ASPECT)))
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if w <= width and h <= height:
            sizes.append((w, h))
    return np.array(sizes, float)


def largest_gap(a: Float64, b: Float64) -> float:
    """The greatest distance of the two distribution functions (Kolmogorov-Smirnov)."""
    points = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(sample), points, side="right") / len(sample) for sample in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def test_areas_and_aspects_of_crops_are_distributed_as_drawn_until_they_fit() -> None:
    boxes = boxes_of(bilinear(), places(), 1500)
    w, h = (boxes[:, 2:] - boxes[:, :2]).T
    wanted_w, wanted_h = drawn_sizes(200, 240, 5000).T
    assert largest_gap(w * h, wanted_w * wanted_h) < 0.05
    assert largest_gap(w / h, wanted_w / wanted_h) < 0.05
    assert AREA[0] - 0.005 < (w * h).min() / 48_000 < 0.1
    assert (w * h).max() / 48_000 > 0.95
    assert w.min() > 40 and (w / h).min() > 0.73 and (w / h).max() < 1.36


def test_crops_lie_anywhere_in_the_image() -> None:
    boxes = boxes_of(bilinear(), places(), 600)
    free = np.array([240, 200]) - (boxes[:, 2:] - boxes[:, :2])
    shares = (boxes[:, :2] / np.maximum(free, 1))[free.min(axis=1) > 40]
    for axis in (0, 1):
        assert np.quantile(shares[:, axis], [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.06)


def test_half_of_the_crops_are_mirrored_whatever_their_size() -> None:
    boxes = boxes_of(bilinear(mirror=True), places(), 800)
    mirrored = boxes[:, 0] > boxes[:, 2]
    areas = np.abs((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    assert mirrored.mean() == pytest.approx(0.5, abs=0.06)
    assert largest_gap(areas[mirrored], areas[~mirrored]) < 0.12


def test_a_mirrored_crop_is_the_crop_from_right_to_left() -> None:
    image = places()
    for seed in range(12):
        crop = bilinear(mirror=True)(image, seed)
        x1, y1, x2, y2 = box_of(crop)
        straight = crop[:, ::-1] if x1 > x2 else crop
        source = image[y1:y2, min(x1, x2) : max(x1, x2)]
        np.testing.assert_array_equal(straight, cv2.resize(source, (SIDE, SIDE)))


def test_the_four_interpolations_are_equally_frequent() -> None:
    image = places()
    augment = CropAugment(SIDE, AREA, ASPECT, "random", 0.0, False)
    counts = dict.fromkeys((cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_NEAREST, cv2.INTER_CUBIC), 0)
    for seed in range(600):
        crop = augment(image, seed)
        x1, y1, x2, y2 = box_of(crop)
        matching = [
            how
            for how in counts
            if np.array_equal(cv2.resize(image[y1:y2, x1:x2], (SIDE, SIDE), interpolation=how), crop)
        ]
        assert len(matching) == 1
        counts[matching[0]] += 1
    assert min(counts.values()) > 110 and max(counts.values()) < 190


def test_a_crop_is_distorted_as_asked() -> None:
    grey = np.full((40, 40, 3), 120, np.uint8)

    def spread(strength: float) -> float:
        augment = CropAugment(32, AREA, ASPECT, "bilinear", strength, True)
        return float(np.std([augment(grey, seed).mean() for seed in range(60)]))

    assert spread(0.0) == 0 < 2 * spread(0.2) < spread(0.8)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (1, 300), (300, 1), (3, 200), (200, 3)])
def test_any_size_of_image_gives_crops_of_the_asked_size(height: int, width: int) -> None:
    augment = CropAugment(48, AREA, ASPECT, "random", 0.5, True)
    for seed in range(25):
        crop = augment(np.full((height, width, 3), 80, np.uint8), seed)
        assert crop.shape == (48, 48, 3)
        assert crop.dtype == np.uint8
        assert np.ptp(crop, axis=(0, 1)).max() == 0


def test_a_crop_of_a_long_image_is_the_largest_in_its_centre() -> None:
    assert box_of(bilinear()(places(height=3, width=200), 0)) == (98, 0, 102, 3)


def test_crops_depend_on_the_seed_alone_in_threads_copies_and_any_order() -> None:
    augment = CropAugment(32, AREA, ASPECT, "random", 0.5, True)
    alone = [augment(places(), seed).tobytes() for seed in range(40)]
    assert len(set(alone)) == 40
    with ThreadPoolExecutor(4) as pool:
        seeds = range(39, -1, -1)
        assert list(pool.map(lambda seed: augment(places(), seed).tobytes(), seeds)) == alone[::-1]
    assert pickle.loads(pickle.dumps(augment))(places(), 7).tobytes() == alone[7]


def test_the_image_of_a_crop_is_not_written_to() -> None:
    image = patch()
    image.flags.writeable = False
    CropAugment(32, AREA, ASPECT, "random", 1.0, True)(image, 1)
    np.testing.assert_array_equal(image, patch())
