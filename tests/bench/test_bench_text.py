import json

import pytest

from detector.bench.bench_text import bench_json, bench_text, number
from detector.bench.engines import EngineRow, EngineTable
from detector.bench.machine import Load
from detector.bench.peers import PeerRow
from detector.bench.result import BenchResult
from detector.bench.rounds import Spread
from detector.bench.stage_costs import STAGES, StageTable

STAGE_TABLE = StageTable(
    engine="openvino bf16",
    mode="warp",
    batch=10,
    filled=0.985,
    workers=2,
    milliseconds={
        name: Spread(float(ms), ms - 0.5, ms + 0.5)
        for name, ms in zip(STAGES, (4, 76, 1, 50, 849, 20), strict=True)
    },
    regions=Spread(240, 230, 250),
    images=Spread(0.24, 0.23, 0.25),
    forward=Spread(260, 255, 265),
    achieved=0.92,
)
ENGINE_TABLE = EngineTable(
    rows=(
        EngineRow("torch fp32, one crop at a time", 1, Spread(34, 33.5, 35), 1.0, 0.18, 412.4),
        EngineRow("openvino int8", 10, Spread(420, 410, 433), 12.4, None, 1234.0),
        EngineRow("torch bf16, compiled", 0, None, None, None, 0.0, "no compiler"),
    ),
    peaks={"fp32": Spread(549, 540, 551)},
    region_flops=3_170_000_000,
    matrix_side=2048,
    missing=("onnxruntime",),
)
PEERS = (PeerRow("one crop at a time", Spread(0.034, 0.03, 0.04), 1.0, 512.0),)


def result(load: Load, **parts: object) -> BenchResult:
    values = {"stages": None, "engines": None, "peers": None, "failures": {}, **parts}
    return BenchResult({"Commit": "abc"}, load, {}, **values)  # type: ignore[arg-type]


QUIET = Load(0.1, 2.0, 0.02, 2)


def test_the_stages_have_shares_and_the_engine_stands_beside_its_forward_passes() -> None:
    lines = bench_text(result(QUIET, stages=STAGE_TABLE)).splitlines()
    assert lines[:4] == [
        "# Benchmark of this machine",
        "",
        "Commit: abc  ",
        "Load: 0.10 before, 2.00 after; others took 0.02 of 2 cores",
    ]
    assert "openvino bf16, batches of 10, 98% filled; one stage at a time." in lines
    assert "| decode | 4.00 (3.50 to 4.50) | 0% |" in lines
    assert "| forward | 849 (848 to 850) | 85% |" in lines
    assert "| all | 1,000 | 100% |" in lines
    assert "| forward passes alone | 260 (255 to 265) |  |  |" in lines
    assert "| files to detections | 240 (230 to 250) | 0.240 (0.230 to 0.250) | 92% |" in lines
    assert not any("Other processes" in line for line in lines)


def test_engines_have_a_dash_for_what_is_not_known() -> None:
    lines = bench_text(result(QUIET, engines=ENGINE_TABLE, failures={"torch bf16, compiled": "no compiler"}))
    assert "A region is 3.17 GFLOP" in lines
    assert "two 2048x2048 matrices: fp32 549 (540 to 551)." in lines
    assert "| torch fp32, one crop at a time | 1 | 34.0 (33.5 to 35.0) | 1.00 | 18% | 412 |" in lines
    assert "| openvino int8 | 10 | 420 (410 to 433) | 12.4 | \N{EN DASH} | 1,234 |" in lines
    assert "| torch bf16, compiled | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} | 0 |" in lines
    assert "\N{EN DASH} of peak: faster than these products of torch, which are no peak for it." in lines
    assert "Not installed: onnxruntime." in lines
    assert "Failed: torch bf16, compiled: no compiler" in lines


def test_a_busy_machine_is_told() -> None:
    assert "Repeat on a quiet machine" in bench_text(result(Load(3.0, 3.0, 1.2, 2), peers=PEERS))


def test_json_has_the_numbers_of_the_tables() -> None:
    tree = json.loads(bench_json(result(QUIET, stages=STAGE_TABLE, engines=ENGINE_TABLE, peers=PEERS)))
    assert tree["stages"]["milliseconds"]["warp"] == {"median": 50.0, "low": 49.5, "high": 50.5}
    assert tree["engines"]["rows"][1]["regions"]["median"] == 420
    assert tree["engines"]["rows"][2]["failure"] == "no compiler"
    assert tree["peers"][0]["images"]["low"] == 0.03
    assert tree["load"] == {"before": 0.1, "after": 2.0, "foreign": 0.02, "cores": 2}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345.6, "12,346"),
        (123.4, "123"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (0.1234, "0.123"),
        (0.0123, "0.012"),
        (0.08, "0.080"),
    ],
)
def test_numbers_have_about_three_digits(value: float, text: str) -> None:
    assert number(value) == text
