"""A disk that is full, as far as this process's files go."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

FULL = "File too large"  # what the system says of a file above the limit


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Within, writing more than `size` bytes to a file fails as on a full disk: OSError in the middle of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python ignores the signal that comes with it
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
