import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from trees import side_by_side

from detector.config import DataSettings
from detector.data.classes import ClassList, ilsvrc_det_classes
from detector.data.readers import read_split
from detector.data.val_split import class_counts, imbalance, split_balanced
from detector.records import Array

REAL_IMAGES = 3000


def test_counts_are_of_objects_by_image_and_class(tmp_path: Path) -> None:
    cat, dog = ("cat", (5, 5, 20, 20)), ("dog", (5, 5, 20, 20))
    side_by_side(tmp_path, "train", a=[cat, dog, cat], b=[], c=[dog])
    classes = ClassList(("bird", "cat", "dog"))
    data = read_split(DataSettings(format="voc", root=tmp_path), "train", classes)
    assert class_counts(data).tolist() == [[0, 2, 1], [0, 0, 0], [0, 0, 1]]


def test_imbalance_is_the_difference_over_the_sum() -> None:
    counts = np.array([[3, 1, 0, 0], [0, 1, 0, 2], [0, 2, 0, 0]])
    assert imbalance(counts, np.array([True, False, False])).tolist() == [1, 0.5, 0, 1]
    assert imbalance(counts, np.array([False, True, True])).tolist() == [1, 0.5, 0, 1]


def test_halves_are_balanced_where_they_can_be() -> None:
    # only {a, d} against {b, c} and {a, c} against {b, d} balance class 1; only the latter balances class 2
    counts = np.array([[3, 2], [3, 1], [1, 1], [1, 2]])
    for seed in range(8):
        first = split_balanced(counts, seed)
        assert first.tolist() in ([True, False, True, False], [False, True, False, True])
        assert imbalance(counts, first).tolist() == [0, 0]


def test_one_crowded_image_stands_against_many() -> None:
    counts = np.array([[4], [1], [1], [1], [1], [0], [0], [0]])
    first = split_balanced(counts, 0)
    assert imbalance(counts, first).tolist() == [0]
    assert first.sum() == 4


@pytest.mark.parametrize("images", [0, 1, 2, 5, 8, 33])
def test_halves_hold_as_many_images_and_the_first_the_odd_one(images: int) -> None:
    counts = np.random.default_rng(images).poisson(0.3, (images, 4))
    for seed in range(4):
        assert split_balanced(counts, seed).sum() == (images + 1) // 2


def test_images_and_classes_without_objects_do_no_harm() -> None:
    counts = np.zeros((9, 3), np.int64)
    counts[:4, 1] = 1
    first = split_balanced(counts, 1)
    assert imbalance(counts, first).tolist() == [0, 0, 0]
    assert first.sum() == 5
    assert split_balanced(counts * 0, 1).sum() == 5


def test_a_seed_gives_the_same_halves_each_time_and_another_seed_others() -> None:
    counts = np.random.default_rng(0).poisson(0.2, (60, 6))
    halves = [split_balanced(counts, seed).tolist() for seed in (0, 0, 1)]
    assert halves[0] == halves[1] != halves[2]


def test_equal_images_are_shared_between_the_halves() -> None:
    kinds = np.array([[1, 0, 0], [2, 1, 0], [0, 0, 3]])
    counts = np.random.default_rng(0).permutation(np.repeat(kinds, 10, axis=0))
    first = split_balanced(counts, 0)
    for kind in kinds:
        assert first[(counts == kind).all(axis=1)].sum() == 5


def test_few_exchanges_leave_no_better_one() -> None:
    counts = np.random.default_rng(3).poisson(0.4, (12, 3))
    first = split_balanced(counts, 0)

    def badness(half: Array) -> float:
        return float(imbalance(counts, half).max() + imbalance(counts, half).mean())

    others = []
    for a in np.flatnonzero(first):
        for b in np.flatnonzero(~first):
            half = first.copy()
            half[[a, b]] = False, True
            others.append(badness(half))
    assert badness(first) <= min(others) + 1e-9


@pytest.mark.shared
def test_real_halves_are_far_better_than_random_ones(shared: Path) -> None:
    counts = real_counts(shared / "data" / "ilsvrc_det_val2_xml.tar.gz", REAL_IMAGES)
    present = counts.any(axis=0)
    halves = imbalance(counts, split_balanced(counts, 0))[present]
    random = np.random.default_rng(0)
    by_chance = [imbalance(counts, random.permutation(len(counts)) % 2 == 0)[present] for _ in range(20)]
    assert np.median(halves) <= 0.04  # R-CNN's, of all of val
    assert np.median(halves) < np.min([np.median(one) for one in by_chance]) / 4
    assert halves.mean() < np.min([one.mean() for one in by_chance]) / 3


def real_counts(archive: Path, images: int) -> Array:
    """The counts of the first `images` files of real annotations."""
    classes = ilsvrc_det_classes()
    counts = np.zeros((images, len(classes)), np.int64)
    with tarfile.open(archive) as files:
        contents = (files.extractfile(member) for member in files if member.isfile())
        for row, file in zip(counts, contents, strict=False):
            assert file is not None
            for name in re.findall(r"<name>\s*(\w+)\s*</name>", file.read().decode()):
                row[(classes.label(name) or 0) - 1] += 1
    return counts
