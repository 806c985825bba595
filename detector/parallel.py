"""Ordered work on threads, for functions that release the interpreter lock (decoding, numba kernels)."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def worker_count(workers: int) -> int:
    """`workers`, or for -1 the number of cores this process may use."""
    if workers >= 0:
        return workers
    if hasattr(os, "sched_getaffinity"):  # Linux: a container may leave us a part of the cores
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(function: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """`function` of every item, in order, on `workers` threads that run a little ahead; 0: on the caller's.

    An exception comes out at its item's turn, and the work not yet begun is dropped.
    """
    if workers == 0:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
