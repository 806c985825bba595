"""The benchmark's numbers as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from detector.bench.engines import EngineRow, EngineTable
from detector.bench.machine import Load
from detector.bench.peers import PeerRow
from detector.bench.result import BenchResult
from detector.bench.rounds import Spread
from detector.bench.stage_costs import StageTable
from detector.evaluation.metrics import MISSING

LABELS = {"warp": "warp and pack"}
LABELS_OF_SHARED = {"warp": "maps of the image, pooling", "forward": "layers behind the maps"}


def bench_json(result: BenchResult) -> str:
    """All numbers: of each the median and the extremes of the rounds."""
    return json.dumps(asdict(result), indent=2) + "\n"


def bench_text(result: BenchResult) -> str:
    """The tables; each number is the median of the rounds, with the lowest and the highest behind it."""
    lines = ["# Benchmark of this machine", ""]
    lines += [f"{name}: {note}  " for name, note in result.notes.items()]
    lines += [f"Load: {_load(result.load)}"]
    if result.load.is_disturbed:
        lines += ["", "**Other processes took the cores: these numbers are too low. Repeat on a quiet machine.**"]
    if result.stages:
        lines += ["", *_stages(result.stages)]
    if result.engines:
        lines += ["", *_engines(result.engines)]
    if result.peers:
        lines += ["", *_peers(result.peers)]
    if result.failures:
        lines += ["", *(f"Failed: {name}: {reason}  " for name, reason in result.failures.items())]
    return "\n".join(lines) + "\n"


def _stages(table: StageTable) -> list[str]:
    labels = LABELS if table.mode == "warp" else LABELS_OF_SHARED
    total = sum(spread.median for spread in table.milliseconds.values())
    rows = [
        (labels.get(name, name), _spread(spread), f"{spread.median / total:.0%}")
        for name, spread in table.milliseconds.items()
    ]
    whole = [
        ("forward passes alone", _spread(table.forward), "", ""),
        ("files to detections", _spread(table.regions), _spread(table.images), f"{table.achieved:.0%}"),
    ]
    return [
        "## Stages",
        "",
        f"{table.engine}, batches of {table.batch}, {table.filled:.0%} filled; one stage at a time.",
        "",
        *_table(("stage", "ms an image", "share"), [*rows, ("all", number(total), "100%")]),
        "",
        f"The whole engine, proposals given, decoding and selection on {table.workers} threads beside it:",
        "",
        *_table(("", "regions/s", "images/s", "of forward alone"), whole),
    ]


def _engines(table: EngineTable) -> list[str]:
    peaks = ", ".join(f"{name} {_spread(peak)}" for name, peak in table.peaks.items())
    side = table.matrix_side
    lines = [
        "## Forward passes",
        "",
        f"A region is {table.region_flops * 1e-9:.2f} GFLOP in convolutions and the linear layer. Peak, GFLOP/s "
        f"of the product of two {side}x{side} matrices: {peaks}.",
        "",
        *_table(
            ("engine", "batch", "regions/s", "x one crop", "of peak", "peak memory, MiB"),
            [_engine(row) for row in table.rows],
        ),
    ]
    if any(row.regions and row.of_peak is None for row in table.rows):
        lines += [
            "",
            f"{MISSING} of peak: faster than these products of torch, which are no peak for it.",
        ]
    if table.missing:
        lines += ["", f"Not installed: {', '.join(table.missing)}."]
    return lines


def _engine(row: EngineRow) -> Sequence[str]:
    return (
        row.name,
        str(row.batch or MISSING),
        _spread(row.regions),
        _ratio(row.ratio),
        MISSING if row.of_peak is None else f"{row.of_peak:.0%}",
        f"{row.memory:,.0f}",
    )


def _peers(rows: Sequence[PeerRow]) -> list[str]:
    cells = [(row.name, _spread(row.images), _ratio(row.ratio), f"{row.memory:,.0f}") for row in rows]
    return ["## Peers", "", *_table(("", "images/s", "x one crop", "peak memory, MiB"), cells)]


def _load(load: Load) -> str:
    foreign = "unknown" if load.foreign is None else f"{load.foreign:.2f}"
    return f"{load.before:.2f} before, {load.after:.2f} after; others took {foreign} of {load.cores} cores"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ("---",) * len(header), *rows)]


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return MISSING
    return f"{number(spread.median)} ({number(spread.low)} to {number(spread.high)})"


def _ratio(value: float | None) -> str:
    return MISSING if value is None else f"{number(value)}"


def number(value: float) -> str:
    """Three significant digits, whole numbers from 100 on."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    if value >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}" if value >= 0.1 else f"{value:#.2g}"
