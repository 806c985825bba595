import numpy as np

from detector.records import Array
from detector.training.row_pool import LEAST, RowPool


def rows_of(ids: Array) -> Array:
    return np.stack([ids, -ids], axis=1).astype(np.float32)


def held(pool: RowPool, ids: Array) -> Array:
    slots, _ = pool.place(ids, rows_of(ids))
    pool.hold(slots)
    return slots


def test_a_row_placed_again_keeps_its_slot() -> None:
    pool = RowPool(2)
    first = held(pool, np.array([5, 3]))
    slots, known = pool.place(np.array([3, 8]), rows_of(np.array([3, 8])))
    assert known.tolist() == [True, False]
    assert slots[0] == first[1]
    assert pool.rows(slots).tolist() == [[3, -3], [8, -8]]
    assert len(pool) == 3


def test_a_row_stays_until_its_last_holder_releases_it() -> None:
    pool = RowPool(2)
    slots = held(pool, np.array([1, 2]))
    pool.hold(slots[:1])
    pool.release(slots)
    assert len(pool) == 1
    assert pool.rows(slots[:1]).tolist() == [[1, -1]]
    pool.release(slots[:1])
    assert len(pool) == 0
    assert pool.place(np.array([1]), rows_of(np.array([1])))[1].tolist() == [False]


def test_released_slots_are_used_again() -> None:
    pool = RowPool(2)
    slots = held(pool, np.arange(LEAST))
    pool.release(slots[10:20])
    assert sorted(held(pool, np.arange(LEAST, LEAST + 10))) == sorted(slots[10:20])


def test_growing_keeps_what_is_there() -> None:
    pool = RowPool(2)
    ids = np.arange(3 * LEAST)
    slots = np.concatenate([held(pool, part) for part in np.array_split(ids, 7)])
    np.testing.assert_array_equal(pool.rows(slots), rows_of(ids))
    assert len(set(slots.tolist())) == len(ids)


def test_rows_keep_their_dtype() -> None:
    pool = RowPool(2)
    slots, _ = pool.place(np.array([1]), np.array([[0.1, 0.2]], np.float16))
    assert pool.rows(slots).dtype == np.float16


def test_nothing_can_be_placed() -> None:
    slots, known = RowPool(2).place(np.empty(0, np.int64), np.empty((0, 2), np.float32))
    assert (slots.shape, known.shape) == ((0,), (0,))
