"""How a GPU is asked to compute, and how much of a time it was at work."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.autograd import DeviceType

from detector.bench.machine import synchronise


@contextmanager
def number_formats(tf32: bool, by_trial: bool = False) -> Iterator[None]:
    """Whether fp32 may be computed as TF32, and whether cuDNN tries its algorithms out."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = tf32, by_trial
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before[1:]


def busy_share(step: Callable[[], object], device: torch.device) -> float | None:
    """The share of the time of a step in which the device had some work; None on a CPU."""
    if device.type != "cuda":
        return None
    synchronise(device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        started = time.perf_counter()
        step()
        synchronise(device)
        elapsed = time.perf_counter() - started
    spans = [each.time_range for each in profile.events() if each.device_type == DeviceType.CUDA]
    return covered([(span.start, span.end) for span in spans]) * 1e-6 / elapsed


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of the union of spans."""
    total, end = 0.0, float("-inf")
    for first, last in sorted(spans):
        total += max(last - max(first, end), 0.0)
        end = max(end, last)
    return total
