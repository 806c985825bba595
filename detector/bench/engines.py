"""Forward passes alone, by every engine and in every number format that this machine has.

The work of a region is that of Table 1's convolutions and linear layer, once for each of its crops; what an
engine computes besides (normalisation, pooling, its own detours) is not credited. The peak is torch's product of
two large square matrices in the same number format, as such or as a convolution of 1x1, which may be another
library's work, in its best round: the most that is known to be possible. Where a processor emulates a format's
products, that in fp32 is faster, and is the peak of that format, too.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
from torch.nn import functional

from detector.bench.machine import seconds_each
from detector.bench.rounds import Candidate, Measure, Numbers, RoundOutcome, Spread, median_ratio
from detector.bench.workload import Workload
from detector.config import EngineSettings, RegionSettings
from detector.errors import ConfigError
from detector.inference.backends import PACKAGES, choose_backend
from detector.networks.backbones import backbone_facts
from detector.networks.backbones.base import Variant
from detector.networks.device import PRECISIONS, choose_device
from detector.networks.layer_table import describe, total
from detector.networks.member import Ensemble, Member

ONE_CROP = "torch fp32, one crop at a time"
MATMUL = "matrix product"
ON_GPUS_ALONE = ("fp16",)  # CPUs compute it slowly, or as another format
WIDEST = "fp32"  # numbers of any other format can be multiplied in this one
DTYPES = PRECISIONS | {"int8": torch.int8}  # of matrix products
SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices: so large that larger ones are no faster
ROW = 32  # of the image that a matrix is to a convolution


@dataclass(frozen=True)
class EngineChoice:
    """One way to run the network."""

    settings: EngineSettings

    @property
    def name(self) -> str:
        """Such as `torch bf16, compiled`."""
        how = ", compiled" if self.settings.compile else ", CUDA graph" if self.settings.graph else ""
        return f"{self.settings.backend} {self.settings.precision}{how}"

    @property
    def is_int8(self) -> bool:
        """Whether maps and weights are rounded, which not every network allows."""
        return self.settings.precision == "int8"


@dataclass(frozen=True)
class EngineRow:
    """How fast an engine is: regions a second, their ratio to one at a time, share of the peak, peak MiB.

    There is no share for an engine that is faster than the product of matrices, as that is no peak then.
    """

    name: str
    batch: int
    regions: Spread | None
    ratio: float | None
    of_peak: float | None
    memory: float
    failure: str = ""


@dataclass(frozen=True)
class EngineTable:
    """All engines, the peaks in GFLOP/s by number format, the FLOP of a region, and what is not installed."""

    rows: tuple[EngineRow, ...]
    peaks: dict[str, Spread]
    region_flops: int
    matrix_side: int
    missing: tuple[str, ...]


def region_flops(variant: Variant, region: RegionSettings, outputs: int) -> int:
    """FLOP of one region: two a multiply-add of convolutions and the linear layer, as `describe` counts them.

    Of regions that share their image's map the layers behind it alone.
    """
    rows = describe(variant, region.crop_size, outputs)
    if region.mode == "shared":
        rows = rows[[row.name for row in rows].index(backbone_facts(variant).shared.layer) + 1 :]
    return 2 * total(rows).multiply_adds * len(region.paddings)


def engine_choices(settings: EngineSettings) -> list[EngineChoice]:
    """Every way that `choose_backend` takes; what `settings` state themselves is kept, the rest varies."""
    is_cpu = choose_device(settings.device).type == "cpu"
    precisions = [name for name in _choices(settings, "precision") if not (is_cpu and name in ON_GPUS_ALONE)]
    compiles = (settings.compile,) if "compile" in settings.model_fields_set else (False, True)
    found = []
    for backend in _choices(settings, "backend"):
        for precision in precisions:
            for is_compiled in compiles if backend == "torch" else (False,):
                update = {"backend": backend, "precision": precision, "compile": is_compiled}
                choice = EngineChoice(settings.model_copy(update=update))
                if _is_accepted(choice.settings):
                    found.append(choice)
    if is_cpu or "graph" in settings.model_fields_set:
        return found
    plain = [each.settings for each in found if not each.settings.compile]
    return [*found, *(EngineChoice(each.model_copy(update={"graph": True})) for each in plain)]


def engine_candidates(workload: Workload, choices: Sequence[EngineChoice]) -> list[Candidate]:
    """The loop over single crops, the matrix products, and the engines."""
    precisions = tuple(dict.fromkeys([WIDEST, *(choice.settings.precision for choice in choices)]))
    settings = workload.config.engine
    return [
        Candidate(ONE_CROP, partial(open_one_crop, workload)),
        Candidate(MATMUL, partial(open_products, settings.device, precisions)),
        *(Candidate(choice.name, partial(open_engine, workload, choice)) for choice in choices),
    ]


def engine_table(
    workload: Workload, choices: Sequence[EngineChoice], outcomes: Sequence[RoundOutcome]
) -> EngineTable:
    """What `engine_candidates` gave."""
    config = workload.config
    flops = region_flops(config.network.variant, config.region, workload.outputs)
    whole = config.region.model_copy(update={"mode": "warp"})
    flops_of_one = region_flops(config.network.variant, whole, workload.outputs)
    one, products, *engines = outcomes
    formats = products.rounds[0] if products.rounds else ()
    peaks = {name: Spread.of(products.rates(name, 1e-9)) for name in formats}
    rows = [_row(one, one, "fp32", flops_of_one, peaks)]
    rows += [
        _row(outcome, one, choice.settings.precision, flops, peaks)
        for choice, outcome in zip(choices, engines, strict=True)
    ]
    stated = config.engine.model_fields_set
    missing = () if "backend" in stated else tuple(name for name in PACKAGES if not _is_installed(name))
    return EngineTable(tuple(rows), peaks, flops, _side(config.engine.device), missing)


@torch.inference_mode()
def open_one_crop(workload: Workload) -> Measure:
    """The network as it comes, in fp32, one crop a pass: what everything is compared with."""
    device = choose_device(workload.config.engine.device)
    network, preprocessing = workload.load_network()
    module = Ensemble([Member(network)]).to(device)
    crop = workload.crops(1, preprocessing, device)
    return _forward_passes(lambda: module(crop), 1, device)


@torch.inference_mode()
def open_engine(workload: Workload, choice: EngineChoice) -> Measure:
    """One engine, on a full batch of regions that lies on the device."""
    engine = workload.open_engine(choice.settings)
    runner, batch = engine.engines[0].runner, workload.first_batch(engine)
    return _forward_passes(lambda: runner.forward(batch), runner.batch_size, runner.device)


@torch.inference_mode()
def open_products(device_name: str, precisions: Sequence[str]) -> Measure:
    """The product of two large matrices in each format: seconds a floating point operation."""
    device = choose_device(device_name)
    # convolutions in fp32 may use TF32, so their peak does, too
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    side = _side(device_name)
    products = {name: matrix_products(DTYPES[name], side, device) for name in precisions if name in DTYPES}

    @torch.inference_mode()
    def measure(seconds: float) -> Numbers:
        return {
            name: min(seconds_each(step, seconds, device) for step in steps) / (2 * side**3)
            for name, steps in products.items()
        }

    return measure


def _forward_passes(step: Callable[[], object], batch: int, device: torch.device) -> Measure:
    @torch.inference_mode()
    def measure(seconds: float) -> Numbers:
        return {"region": seconds_each(step, seconds, device) / batch, "batch": batch}

    return measure


def matrix_products(dtype: torch.dtype, side: int, device: torch.device) -> list[Callable[[], object]]:
    """Ways to compute the same product."""
    if dtype == torch.int8:
        numbers = torch.randint(-128, 128, (side, side), dtype=dtype, device=device)
        whole = torch.empty(side, side, dtype=torch.int32, device=device)
        return [lambda: torch.ops.aten._int_mm.out(numbers, numbers.t(), out=whole)]
    matrix = torch.randn(side, side, device=device).to(dtype)
    out = torch.empty_like(matrix)
    rows = matrix.view(1, side, side // ROW, ROW).contiguous(memory_format=torch.channels_last)
    kernel = matrix[:, :, None, None]
    return [lambda: torch.matmul(matrix, matrix, out=out), lambda: functional.conv2d(rows, kernel)]


def _side(device_name: str) -> int:
    return SIDE.get(choose_device(device_name).type, SIDE["cpu"])


def _choices(settings: EngineSettings, field: str) -> list[str]:
    """What the setting `field` may be, or what it was set to; "auto" stands for one of the others."""
    value = getattr(settings, field)
    if field in settings.model_fields_set and value != "auto":
        return [value]
    known = get_args(EngineSettings.model_fields[field].annotation)
    return [name for name in known if name != "auto"]


def _is_accepted(settings: EngineSettings) -> bool:
    try:
        choose_backend(settings)
    except ConfigError:
        return False
    return True


def _is_installed(backend: str) -> bool:
    return importlib.util.find_spec(PACKAGES[backend]) is not None


def _row(
    outcome: RoundOutcome, one: RoundOutcome, precision: str, flops: int, peaks: dict[str, Spread]
) -> EngineRow:
    if not outcome.rounds:
        return EngineRow(outcome.name, 0, None, None, None, outcome.memory, outcome.failure)
    rates = outcome.rates("region")
    regions = Spread.of(rates)
    share = _share(regions.median * flops * 1e-9, precision, peaks)
    return EngineRow(
        outcome.name,
        int(outcome.rounds[0]["batch"]),
        regions,
        median_ratio(rates, one.rates("region")) if one.rounds else None,
        share,
        outcome.memory,
        outcome.failure,
    )


def _share(rate: float, precision: str, peaks: dict[str, Spread]) -> float | None:
    """The share of GFLOP/s in the peak of a format; None where that is not known."""
    known = [peaks[name].high for name in (precision, WIDEST) if name in peaks]
    return rate / max(known) if known and rate <= max(known) else None
