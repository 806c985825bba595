"""Feature rows that many classes share, each kept once for as long as a class uses it."""

import numpy as np

from detector.records import Array, Bool, Int64

LEAST = 4096  # rows there is room for at first
GROWTH = 1.5


class RowPool:
    """Rows (F,) by slot. A slot is given again once all who held its row have released it.

    Rows keep the dtype of the first that are placed.
    """

    def __init__(self, width: int) -> None:
        self._rows: Array = np.empty((0, width), np.float32)
        self._ids = np.empty(0, np.int64)
        self._holders = np.empty(0, np.int32)
        self._slots: dict[int, int] = {}  # by id
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._slots)

    def place(self, ids: Int64, rows: Array) -> tuple[Int64, Bool]:
        """The slots (n,) of rows (n, F), and a mask (n,) of those that were there already, by their ids (n,).

        Ids name rows and differ. The new rows must be held before others are released.
        """
        slots = np.array([self._slots.get(id_, -1) for id_ in ids.tolist()], np.int64)
        known = slots >= 0
        slots[~known] = self._take_slots(int((~known).sum()), rows.dtype)
        new = slots[~known]
        self._rows[new] = rows[~known]
        self._ids[new] = ids[~known]
        self._slots.update(zip(ids[~known].tolist(), new.tolist(), strict=True))
        return slots, known

    def hold(self, slots: Int64) -> None:
        """Count one holder more for each of these slots, which differ."""
        self._holders[slots] += 1

    def release(self, slots: Int64) -> None:
        """Count one holder less for each of these slots, which differ."""
        self._holders[slots] -= 1
        unused = slots[self._holders[slots] == 0]
        for id_ in self._ids[unused].tolist():
            del self._slots[id_]
        self._free.extend(unused.tolist())

    def rows(self, slots: Int64) -> Array:
        """A copy (n, F) of the rows in these slots."""
        return self._rows[slots]

    def _take_slots(self, count: int, dtype: np.dtype) -> list[int]:
        """`count` free slots, which are made if need be."""
        if count > len(self._free):
            size = len(self._ids)
            room = max(LEAST, int(size * GROWTH), size + count - len(self._free))
            self._rows = _enlarge(self._rows if size else self._rows.astype(dtype), room)
            self._ids, self._holders = _enlarge(self._ids, room), _enlarge(self._holders, room)
            self._free.extend(range(size, room))
        taken = self._free[len(self._free) - count :]
        del self._free[len(self._free) - count :]
        return taken


def _enlarge(array: Array, length: int) -> Array:
    """`array` followed by zeros, `length` rows in all."""
    larger = np.zeros((length, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
