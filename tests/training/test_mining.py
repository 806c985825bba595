from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from oracles_svm import mine_one_class, svm_objective

from detector.config import SvmSettings
from detector.records import Array
from detector.training.mining import UNTRAINED_BIAS, Chunk, MinedSvms, train_svms

SETTINGS = SvmSettings(c=1e-2, retrain_after=100, tolerance=1e-6)
CLASSES = 3


@dataclass(frozen=True)
class World:
    """Objects of three classes and many regions, some of which are like objects."""

    positives: Array
    labels: Array
    ids: Array
    features: Array
    negative: Array

    def chunks(self, size: int) -> Callable[[], Iterator[Chunk]]:
        arrays = [torch.from_numpy(array) for array in (self.ids, self.features, self.negative)]
        return lambda: map(Chunk, *(array.split(size) for array in arrays))


def make_world(seed: int = 0, count: int = 1500) -> World:
    random = np.random.default_rng(seed)
    centres = 1.2 * random.normal(size=(CLASSES, 16))
    labels = np.repeat([1, 2, 3], [20, 30, 25])
    positives = random.normal(size=(len(labels), 16)) + centres[labels - 1]
    near = random.integers(0, CLASSES, count)
    features = random.normal(size=(count, 16)) + random.uniform(-1, 0.8, (count, 1)) * centres[near]
    scale = 20 / np.linalg.norm(positives, axis=1).mean()
    return World(
        (positives * scale).astype(np.float32),
        labels,
        random.permutation(10 * count)[:count],
        (features * scale).astype(np.float32),
        random.random((count, CLASSES)) < 0.9,
    )


def mine(world: World, settings: SvmSettings = SETTINGS, size: int = 250) -> MinedSvms:
    positives, labels = torch.from_numpy(world.positives), torch.from_numpy(world.labels)
    return train_svms(positives, labels, world.chunks(size), CLASSES, settings)


def assert_equal(a: MinedSvms, b: MinedSvms) -> None:
    torch.testing.assert_close(a.solution.weights, b.solution.weights)
    torch.testing.assert_close(a.solution.bias, b.solution.bias)
    np.testing.assert_array_equal(a.cached, b.cached)
    np.testing.assert_array_equal(a.trainings, b.trainings)


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("seed", [0, 1])
def test_mining_equals_one_class_after_another(seed: int, passes: int) -> None:
    pytest.importorskip("sklearn")
    world, settings = make_world(seed), SETTINGS.model_copy(update={"passes": passes})
    mined = mine(world, settings, size=300)
    for k in range(CLASSES):
        positives = world.positives[world.labels == k + 1]
        wanted = mine_one_class(positives, world.ids, world.features, world.negative[:, k], settings)
        assert wanted.evicted
        assert mined.trainings[k] == wanted.trainings > 1
        assert mined.cached[k] == len(wanted.cache)
        assert mined.seen[k] == passes * world.negative[:, k].sum()
        np.testing.assert_allclose(mined.solution.weights[k], wanted.weights, atol=1e-3)
        assert mined.solution.bias[k] == pytest.approx(wanted.bias, abs=5e-3)


def test_mined_svms_are_nearly_those_of_all_negatives() -> None:
    world = make_world()
    mined = mine(world)
    every = mine(world, SETTINGS.model_copy(update={"hard_score": -1e9, "evict_score": -1e9}))
    assert every.cached.tolist() == world.negative.sum(0).tolist()
    assert (mined.cached < 0.1 * every.cached).all()
    for k in range(CLASSES):
        own, negative = world.positives[world.labels == k + 1], world.features[world.negative[:, k]]
        rows = np.concatenate([own, negative])
        weights, bias = mined.solution.weights[k].numpy(), mined.solution.bias[k].item()
        objective = svm_objective(weights, bias, rows, np.arange(len(rows)) < len(own), SETTINGS)
        assert objective < 1.01 * every.solution.objective[k]


def test_all_negatives_are_hard_until_the_first_training() -> None:
    world = make_world(count=99)
    mined = mine(world, SETTINGS.model_copy(update={"evict_score": -1e9}))
    assert mined.trainings.tolist() == [1, 1, 1]
    assert mined.cached.tolist() == world.negative.sum(0).tolist() == mined.seen.tolist()


def test_easy_negatives_are_evicted_and_the_hard_stay() -> None:
    world = make_world()
    mined = mine(world)
    kept = mine(world, SETTINGS.model_copy(update={"evict_score": -1e9}))
    assert (mined.cached < kept.cached).all()
    assert (mined.cached > 0).all()


def test_the_size_of_chunks_changes_nothing() -> None:
    world = make_world()
    assert_equal(mine(world, size=1500), mine(world, size=100))


def test_a_class_does_not_depend_on_the_others() -> None:
    world = make_world()
    together = mine(world)
    for k in range(CLASSES):
        own = torch.from_numpy(world.positives[world.labels == k + 1])

        def chunks(k: int = k) -> Iterator[Chunk]:
            return (Chunk(c.ids, c.features, c.negative[:, k : k + 1]) for c in world.chunks(250)())

        alone = train_svms(own, torch.ones(len(own), dtype=torch.int64), chunks, 1, SETTINGS)
        torch.testing.assert_close(alone.solution.weights[0], together.solution.weights[k])
        assert alone.cached[0] == together.cached[k]


def test_a_second_pass_adds_no_negative_twice() -> None:
    world = make_world(count=90)
    settings = SETTINGS.model_copy(update={"evict_score": -1e9, "passes": 3})
    mined = mine(world, settings)
    assert mined.cached.tolist() == world.negative.sum(0).tolist()
    assert mined.seen.tolist() == (3 * world.negative.sum(0)).tolist()
    assert mined.trainings.tolist() == [1, 1, 1]


def test_a_class_without_positives_or_negatives_stays_below_every_score_worth_keeping() -> None:
    world = make_world()
    world.negative[:, 0] = False
    world.labels[world.labels == 3] = 2
    mined = mine(world)
    for k in (0, 2):
        assert not mined.solution.weights[k].any()
        assert mined.solution.bias[k] == UNTRAINED_BIAS
        assert mined.solution.objective[k] == mined.solution.gap[k] == 0
        assert mined.trainings[k] == mined.cached[k] == 0
    assert mined.seen[0] == 0 < mined.seen[2]
    assert mined.trainings[1] > 0


def test_without_chunks_nothing_is_trained() -> None:
    world = make_world(count=0)
    mined = mine(world)
    assert mined.solution.weights.shape == (CLASSES, 16)
    assert mined.solution.bias.tolist() == [UNTRAINED_BIAS] * CLASSES
    nobody = train_svms(torch.empty(0, 16), torch.empty(0, dtype=torch.int64), lambda: [], 2, SETTINGS)
    assert nobody.solution.weights.shape == (2, 16)


def test_features_in_half_precision_are_scored_and_trained_on_as_they_are() -> None:
    world = make_world(count=400)
    half = World(
        world.positives.astype(np.float16),
        world.labels,
        world.ids,
        world.features.astype(np.float16),
        world.negative,
    )
    rounded = World(
        half.positives.astype(np.float32),
        world.labels,
        world.ids,
        half.features.astype(np.float32),
        world.negative,
    )
    assert_equal(mine(half), mine(rounded))


def test_gaps_are_within_the_tolerance() -> None:
    solution = mine(make_world(), SETTINGS.model_copy(update={"tolerance": 1e-2})).solution
    assert (solution.gap <= 1e-2 * solution.objective).all()
    assert (solution.objective > 0).all()


def test_progress_is_told_of_every_region() -> None:
    world = make_world(count=330)
    visited: list[int] = []
    positives, labels = torch.from_numpy(world.positives), torch.from_numpy(world.labels)
    train_svms(positives, labels, world.chunks(250), CLASSES, SETTINGS, visited.append)
    assert visited == [100, 100, 50, 80]
