import numpy as np
import pytest
from oracles_boxes import random_boxes
from oracles_proposals import join_slowly

from detector.errors import ConfigError
from detector.proposals.merge import join_proposals
from detector.records import Float32, Proposals


def proposals(boxes: Float32) -> Proposals:
    return Proposals(boxes, np.linspace(1, 0, len(boxes), dtype=np.float32))


def apart(count: int, row: int) -> Proposals:
    """Boxes of 10 pixels that touch no other; the left corner is 20 times the rank."""
    left, top = 20 * np.arange(count), np.full(count, 20 * row)
    return proposals(np.stack([left, top, left + 10, top + 10], axis=1).astype(np.float32))


def sources(joined: Proposals) -> list[tuple[int, int]]:
    """(part, rank in it) of each box made by `apart`."""
    return [(int(box[1]) // 20, int(box[0]) // 20) for box in joined.boxes]


def test_two_parts_are_mixed_in_proportion_by_hand() -> None:
    joined = join_proposals([apart(6, 0), apart(2, 1)], [0, 0], 0.9)
    # places 1/12 3/12 5/12 7/12 9/12 11/12 and 3/12 9/12, the first part first on equality
    assert sources(joined) == [(0, 0), (0, 1), (1, 0), (0, 2), (0, 3), (0, 4), (1, 1), (0, 5)]
    np.testing.assert_allclose(joined.scores, 1 - np.arange(8) / 8)


def test_equal_parts_take_turns_the_first_part_first() -> None:
    joined = join_proposals([apart(3, 0), apart(3, 1)], [0, 0], 1.0)
    assert sources(joined) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]


def test_a_budget_keeps_the_best_of_its_part_and_none_keeps_all() -> None:
    joined = join_proposals([apart(9, 0), apart(9, 1), apart(3, 2)], [0, 2, 99], 1.0)
    kept = sources(joined)
    assert [sorted(rank for part, rank in kept if part == p) for p in range(3)] == [[*range(9)], [0, 1], [0, 1, 2]]


@pytest.mark.parametrize("counts", [(2000, 200), (7, 300), (1, 40), (13, 13)])
def test_every_prefix_of_two_parts_is_in_proportion_to_within_a_box(counts: tuple[int, int]) -> None:
    joined = join_proposals([apart(counts[0], 0), apart(counts[1], 1)], [0, 0], 1.0)
    of_second = np.cumsum(joined.boxes[:, 1] > 0)
    wanted = np.arange(1, sum(counts) + 1) * counts[1] / sum(counts)
    assert np.abs(of_second - wanted).max() < 1


def test_of_near_duplicates_the_one_placed_first_stays() -> None:
    box = np.array([[0, 0, 100, 100]], np.float32)
    nearly = np.array([[0, 0, 100, 90]], np.float32)  # IoU 0.9
    both = [proposals(box), proposals(nearly)]
    assert join_proposals(both, [0, 0], 0.9).boxes.tolist() == box.tolist()
    assert join_proposals(both[::-1], [0, 0], 0.9).boxes.tolist() == nearly.tolist()
    assert len(join_proposals(both, [0, 0], 0.91).boxes) == 2


def test_at_one_only_equal_boxes_go() -> None:
    box = np.array([[3.3, 4.7, 250.1, 333.3]], np.float32)
    nearly = np.nextafter(box, np.array([[3.3, 4.7, 999, 333.3]], np.float32))
    joined = join_proposals([proposals(box), proposals(np.concatenate([nearly, box]))], [0, 0], 1.0)
    assert joined.boxes.tolist() == [*nearly.tolist(), *box.tolist()]
    assert joined.scores.tolist() == [1, 0.5]


def test_duplicates_within_a_part_go_too() -> None:
    part = proposals(apart(4, 0).boxes[[0, 1, 0, 2]])
    assert sources(join_proposals([part], [0], 0.5)) == [(0, 0), (0, 1), (0, 2)]


def test_parts_without_boxes_add_nothing() -> None:
    empty = proposals(np.empty((0, 4), np.float32))
    joined = join_proposals([empty, apart(2, 1), empty], [0, 0, 5], 0.5)
    assert sources(joined) == [(1, 0), (1, 1)]
    nothing = join_proposals([empty, empty], [0, 3], 0.5)
    assert nothing.boxes.shape == (0, 4)
    assert nothing.scores.shape == (0,)


def test_random_parts_are_joined_as_the_oracle_joins_them() -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        parts = [proposals(random_boxes(random, count)) for count in random.integers(0, 25, random.integers(1, 4))]
        budgets = random.integers(0, 20, len(parts)).tolist()
        limit = float(random.choice([0.25, 0.5, 0.75, 1.0]))
        joined = join_proposals(parts, budgets, limit)
        assert joined.boxes.tolist() == join_slowly([part.boxes for part in parts], budgets, limit)


@pytest.mark.parametrize("budgets", [[1], [1, 2, 3], [0, -1]])
def test_budgets_that_do_not_fit_the_parts_are_refused(budgets: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"^budgets must be a number from 0 for each of 2 parts, at least one"):
        join_proposals([apart(1, 0), apart(1, 1)], budgets, 0.5)


def test_no_part_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"of 0 parts, at least one, got \[\]$"):
        join_proposals([], [], 0.5)


@pytest.mark.parametrize("limit", [0.0, -0.5, 1.01, float("nan")])
def test_a_limit_that_is_no_overlap_is_refused(limit: float) -> None:
    with pytest.raises(ConfigError, match=r"^duplicate_iou must be over 0 and at most 1, got "):
        join_proposals([apart(1, 0)], [0], limit)
