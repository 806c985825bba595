import numpy as np
import pytest

from detector.config import FinetuneSettings
from detector.errors import DataError
from detector.training.assign import IGNORED
from detector.training.sample import RegionSampler, draw_regions

LABELS = np.array([3, 0, 0, IGNORED, 0, 1, IGNORED, 0, 0, 0], np.int16)
OFFSETS = np.array([0, 4, 4, 10])  # the second image has no regions
SETTINGS = FinetuneSettings(batch_size=8, positives=2)


def test_a_batch_holds_its_share_of_objects_first() -> None:
    draw = RegionSampler(LABELS, OFFSETS, SETTINGS, 2, seed=0).draw(0)
    assert (draw.label[:2] > 0).all()
    assert (draw.label[2:] == 0).all()


def test_what_is_drawn_is_where_the_draw_says() -> None:
    sampler = RegionSampler(LABELS, OFFSETS, SETTINGS, 2, seed=0)
    for step in range(20):
        draw = sampler.draw(step)
        np.testing.assert_array_equal(LABELS[OFFSETS[draw.image] + draw.region], draw.label)
        assert set(draw.image) <= {0, 2}


def test_draws_are_uniform_over_the_data_set() -> None:
    sampler = RegionSampler(LABELS, OFFSETS, SETTINGS, 2, seed=1)
    rows = np.concatenate([OFFSETS[d.image] + d.region for d in map(sampler.draw, range(3000))])
    counts = np.bincount(rows, minlength=len(LABELS))
    assert not counts[LABELS == IGNORED].any()
    for wanted in (LABELS > 0, LABELS == 0):
        share = counts[wanted] / counts[wanted].sum()
        np.testing.assert_allclose(share, 1 / wanted.sum(), rtol=0.1)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    one, two = (RegionSampler(LABELS, OFFSETS, SETTINGS, 2, seed=5) for _ in range(2))
    one.draw(0)
    for a, b in zip(one.draw(7), two.draw(7), strict=True):
        np.testing.assert_array_equal(a, b)
    other = RegionSampler(LABELS, OFFSETS, SETTINGS, 2, seed=6).draw(7)
    assert any((a != b).any() for a, b in zip(one.draw(7), other, strict=True))


def test_nothing_is_mirrored_unless_asked() -> None:
    still = FinetuneSettings(batch_size=8, positives=2, mirror=False)
    assert not RegionSampler(LABELS, OFFSETS, still, 2, seed=0).draw(0).mirror.any()
    drawn = [RegionSampler(LABELS, OFFSETS, SETTINGS, 2, seed=0).draw(step).mirror for step in range(50)]
    assert 0.4 < np.mean(drawn) < 0.6


def test_classes_are_drawn_alike_or_by_their_regions() -> None:
    labels = np.array([1] * 90 + [2] * 10 + [4] + [0] * 20, np.int16)
    for balance, wanted in ((0.0, [90, 10, 0, 1]), (0.5, [90**0.5, 10**0.5, 0, 1]), (1.0, [1, 1, 0, 1])):
        settings = FinetuneSettings(batch_size=64, positives=32, class_balance=balance)
        sampler = RegionSampler(labels, np.array([0, len(labels)]), settings, 32, seed=0)
        drawn = np.concatenate([sampler.draw(step).label[:32] for step in range(400)])
        share = np.bincount(drawn, minlength=5)[1:] / len(drawn)
        np.testing.assert_allclose(share, np.array(wanted) / np.sum(wanted), atol=0.015)


def test_a_share_of_the_background_is_near_objects() -> None:
    near = np.array([1, 1, 0, 0, 0, 1, 0, 0, 0, 1], np.bool_)
    sampler = RegionSampler(LABELS, OFFSETS, SETTINGS, 2, 0, near, 0.5)
    drawn = [sampler.draw(step) for step in range(2000)]
    rows = np.stack([OFFSETS[draw.image] + draw.region for draw in drawn])
    assert near[rows[:, 2:5]].all()
    np.testing.assert_allclose(near[rows[:, 5:]].mean(), 2 / 6, atol=0.03)
    for index in (2, 5):
        counts = np.bincount(rows[:, index], minlength=len(LABELS))
        wanted = (LABELS == 0) & (near if index == 2 else True)
        np.testing.assert_allclose(counts / counts.sum(), wanted / wanted.sum(), atol=0.05)


def test_without_background_near_objects_it_is_drawn_everywhere() -> None:
    far, plain = (RegionSampler(LABELS, OFFSETS, SETTINGS, 2, 0, *words) for words in ((LABELS > 0, 1.0), ()))
    for one, other in zip(far.draw(3), plain.draw(3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_processes_share_a_batch_and_its_objects_evenly() -> None:
    draw = RegionSampler(LABELS, OFFSETS, SETTINGS, 2, seed=0).draw(3)
    shares = [draw.share(rank, 2) for rank in range(2)]
    assert [int((share.label > 0).sum()) for share in shares] == [1, 1]
    for whole, *parts in zip(draw, *shares, strict=True):
        assert sorted(np.concatenate(parts).tolist()) == sorted(whole.tolist())


def test_objects_alone_need_no_background() -> None:
    settings = FinetuneSettings(batch_size=8, positives=2)
    sampler = RegionSampler(np.array([1, 2], np.int16), np.array([0, 2]), settings, 8, seed=0)
    assert (sampler.draw(0).label > 0).all()


def test_a_set_without_objects_or_background_is_an_error() -> None:
    with pytest.raises(DataError, match="a region that holds an object"):
        RegionSampler(np.zeros(4, np.int16), np.array([0, 4]), SETTINGS, 2, seed=0)
    with pytest.raises(DataError, match="no training image is labelled for every class"):
        RegionSampler(np.array([1, IGNORED], np.int16), np.array([0, 2]), SETTINGS, 2, seed=0)


def test_regions_to_learn_from_are_drawn_from_objects_and_background() -> None:
    labels = np.repeat([2, -1, 0, 1], [3, 10, 40, 20])
    drawn = draw_regions(labels, seed=4)
    assert np.bincount(labels[drawn] + 1, minlength=4).tolist()[:2] == [0, 24]
    assert len(drawn) == len(set(drawn.tolist())) == 32
    np.testing.assert_array_equal(drawn, draw_regions(labels, seed=4))
