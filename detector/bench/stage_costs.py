"""What each stage of detection costs an image, and how near the whole engine comes to its forward passes alone."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from detector.bench.machine import seconds_each, synchronise
from detector.bench.rounds import Candidate, Measure, Numbers, RoundOutcome, Spread, median_ratio
from detector.bench.workload import Workload
from detector.config import EngineSettings
from detector.data.images import read_image
from detector.inference.backends import choose_backend
from detector.inference.batches import BatchRunner
from detector.inference.proposer import open_proposer
from detector.inference.select import select
from detector.networks.device import PRECISIONS, choose_device, choose_precision
from detector.parallel import ordered_map, worker_count
from detector.records import ClassScores, Detections, Float32, Image

STAGES = ("decode", "propose", "upload", "warp", "forward", "select")


@dataclass(frozen=True)
class StageTable:
    """Milliseconds an image by stage, and rates of the whole engine beside those of its forward passes alone.

    `regions` and `images` a second are from files to detections, with the proposals given; `forward` are regions
    a second, `achieved` is the first's share of it. `filled` is the share of the batches' rows that hold regions.
    """

    engine: str
    mode: str
    batch: int
    filled: float
    workers: int
    milliseconds: dict[str, Spread]
    regions: Spread
    images: Spread
    forward: Spread
    achieved: float


def stage_candidate(workload: Workload) -> Candidate:
    """The engine of the settings."""
    return Candidate("stages", partial(open_stages, workload))


def stage_table(workload: Workload, outcome: RoundOutcome) -> StageTable:
    """What `stage_candidate` gave in one round at least."""
    settings, batch = workload.config.engine, int(outcome.rounds[0]["batch"])
    count = sum(map(len, workload.boxes))
    regions, forward = outcome.rates("image", workload.mean_regions), outcome.rates("region")
    return StageTable(
        engine=engine_name(settings),
        mode=workload.config.region.mode,
        batch=batch,
        filled=count / (-(-count // batch) * batch),
        workers=worker_count(settings.workers),
        milliseconds={name: Spread.of([1e3 * each[name] for each in outcome.rounds]) for name in STAGES},
        regions=Spread.of(regions),
        images=Spread.of(outcome.rates("image")),
        forward=Spread.of(forward),
        achieved=median_ratio(regions, forward),
    )


def engine_name(settings: EngineSettings) -> str:
    """What the settings' choices come to, such as `openvino bf16`."""
    precision: str = settings.precision
    if precision == "auto":
        dtype = choose_precision(precision, choose_device(settings.device))
        precision = next(name for name, each in PRECISIONS.items() if each == dtype)
    how = ", compiled" if settings.compile else ", CUDA graph" if settings.graph else ""
    return f"{choose_backend(settings)} {precision}{how}"


def open_stages(workload: Workload) -> Measure:
    """All stages one after another, then the whole as detectors run it, then forward passes alone."""
    return _EngineBench(workload).measure


def open_whole(workload: Workload) -> Measure:
    """From files to detections with the proposals given, seconds an `image`."""
    bench = _EngineBench(workload)
    return lambda seconds: {"image": bench.whole(seconds)}


class _Clock:
    """Seconds spent, by name."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        synchronise(self.device)
        started = time.perf_counter()
        yield
        synchronise(self.device)
        self.seconds[name] += time.perf_counter() - started


class _EngineBench:
    """The engine and all around it, in one process."""

    def __init__(self, workload: Workload) -> None:
        config = workload.config
        self.workload = workload
        self.config = config
        self.engine = workload.open_engine()
        self.runner: BatchRunner = self.engine.engines[0].runner
        self.proposer = open_proposer(config.proposals, config.engine, config.seed)
        self.workers = worker_count(config.engine.workers)
        self.batch = workload.first_batch(self.engine)

    @torch.inference_mode()
    def measure(self, seconds: float) -> Numbers:
        """Seconds of each stage and of the whole, an `image`; of a `region` in forward passes alone."""
        device, images = self.runner.device, len(self.workload.paths)
        passes: list[_Clock] = []

        def one_pass() -> None:
            passes.append(_Clock(device))
            self._stage_by_stage(passes[-1])

        seconds_each(one_pass, seconds, device)
        spent = {name: sum(clock.seconds[name] for clock in passes) / (len(passes) * images) for name in STAGES}
        whole = self.whole(seconds)
        region = seconds_each(lambda: self.runner.forward(self.batch), seconds, device) / self.runner.batch_size
        return spent | {"image": whole, "region": region, "batch": self.runner.batch_size}

    def whole(self, seconds: float) -> float:
        """Seconds an image from files to detections, with the proposals given."""
        return seconds_each(self._whole, seconds, self.runner.device) / len(self.workload.paths)

    def _stage_by_stage(self, clock: _Clock) -> None:
        """One pass over the images, nothing beside anything else."""
        placed: list[tuple[Image | Tensor, Float32]] = []
        for path, boxes in zip(self.workload.paths, self.workload.boxes, strict=True):
            with clock.time("decode"):
                image = self._read(path)
            with clock.time("propose"):
                list(self.proposer.finish([self.proposer.prepare(image)]))
            with clock.time("upload"):
                placed.append((torch.as_tensor(image).to(self.runner.device), boxes))
        with clock.time("warp"), self._forward_timed(clock):
            found = list(self.engine.score(placed))
        clock.seconds["warp"] -= clock.seconds["forward"]  # what is left: cutting, packing, handing back
        with clock.time("select"):
            for scores in found:
                self._select(scores)

    @contextmanager
    def _forward_timed(self, clock: _Clock) -> Iterator[None]:
        forward = self.runner.forward

        def timed(batch: Tensor) -> dict[str, Tensor]:
            with clock.time("forward"):
                return forward(batch)

        self.runner.forward = timed
        try:
            yield
        finally:
            self.runner.forward = forward

    def _whole(self) -> None:
        """One pass from files to detections with the proposals given, as `test_det` goes about it."""

        def regions() -> Iterator[tuple[Image, Float32]]:
            images = ordered_map(self._read, self.workload.paths, self.workers)
            yield from zip(images, self.workload.boxes, strict=True)

        for _ in ordered_map(self._select, self.engine.score(regions()), self.workers):
            pass

    def _read(self, path: Path) -> Image:
        return read_image(path, self.config.data.exif)

    def _select(self, scores: ClassScores) -> Detections:
        return select(scores, self.config.detect.min_score, self.config.detect)
