"""Batches by step, prepared by worker processes."""

from collections.abc import Iterator
from typing import TypeVar

from torch.utils.data import DataLoader, Dataset

from detector.errors import DataError

Batch = TypeVar("Batch")


def load_batches(source: Dataset[Batch], first: int, last: int, workers: int, pin: bool) -> Iterator[Batch]:
    """The batches `source[step]` of steps first..last - 1, in order, by `workers` processes (0: in this one)."""
    loader = DataLoader(
        _Guarded(source),
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        pin_memory=pin,
    )
    for result in loader:
        if isinstance(result, DataError):
            raise result
        yield result


class _Guarded(Dataset[Batch | DataError]):
    """`source`, with the user's mistakes as results: raised in a worker they would come back as a traceback."""

    def __init__(self, source: Dataset[Batch]) -> None:
        self.source = source

    def __getitem__(self, step: int) -> Batch | DataError:
        try:
            return self.source[step]
        except DataError as error:
            return error
