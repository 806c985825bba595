"""Going over many files: on threads, because folders on a network answer slowly, and with a progress bar."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from detector.progress import progress_bar

Item = TypeVar("Item")
Made = TypeVar("Made")

CHUNK = 256  # files a task: enough to make a task's own cost vanish
THREADS = 8
PATIENCE = 2.0  # seconds before the bar shows


def map_chunks(function: Callable[[Sequence[Item]], Made], items: Sequence[Item], label: str) -> list[Made]:
    """`function` of consecutive chunks of `items`, in order; the first error, in order, is raised."""
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    if len(chunks) <= 1:
        return [function(chunk) for chunk in chunks]
    bar = progress_bar(total=len(items), desc=label, unit="file", delay=PATIENCE, leave=False)
    results = []
    with ThreadPoolExecutor(THREADS) as pool, bar:
        for chunk, result in zip(chunks, pool.map(function, chunks), strict=True):
            results.append(result)
            bar.update(len(chunk))
    return results
