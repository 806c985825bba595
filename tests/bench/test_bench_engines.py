from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from detector.bench import engines
from detector.bench.bench_settings import bench_settings
from detector.bench.engines import (
    EngineChoice,
    engine_choices,
    engine_table,
    matrix_products,
    open_products,
    region_flops,
)
from detector.bench.rounds import RoundOutcome, Spread
from detector.bench.workload import open_workload
from detector.config import EngineSettings, RegionSettings
from detector.inference import backends
from detector.networks.backbones import make_backbone
from detector.networks.region_classifier import RegionClassifier

REGION = RegionSettings(crop_size=64, padding=4)


def settings(**values: Any) -> EngineSettings:
    return EngineSettings(device="cpu", **values)


def names(choices: list[EngineChoice]) -> list[str]:
    return [choice.name for choice in choices]


def test_the_flop_of_a_region_are_twice_the_multiply_adds_of_its_layers() -> None:
    last = 1024 * 5
    without = region_flops("paper", REGION, 1) - 2 * 1024
    assert region_flops("paper", REGION, 5) == without + 2 * last
    conv1 = 32 * 32 * 64 * 7 * 7 * 3  # of crops of 64 pixels: the cells of its map, outputs, kernel, inputs
    conv2 = 16 * 16 * (64 * 64 + 64 * 3 * 3 * 192)
    assert without > 2 * (conv1 + conv2)


def test_a_second_crop_of_each_region_doubles_its_flop() -> None:
    twice = RegionSettings(crop_size=64, padding=4, wide_padding=16)
    assert region_flops("paper", twice, 5) == 2 * region_flops("paper", REGION, 5)


def test_regions_of_a_shared_map_cost_the_layers_behind_it() -> None:
    shared = RegionSettings(mode="shared")
    behind = region_flops("paper", shared, 5)
    of_5a = 7 * 7 * (832 * (256 + 160 + 32 + 128) + 9 * 160 * 320 + 25 * 32 * 128)
    of_5b = 7 * 7 * (832 * (384 + 192 + 48 + 128) + 9 * 192 * 384 + 25 * 48 * 128)
    assert behind == 2 * (of_5a + of_5b + 1024 * 5)


def test_torch_s_own_counter_agrees_where_there_is_no_normalisation_besides() -> None:
    network = RegionClassifier(make_backbone("paper_bn"), 5).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, 64, 64))
    assert counter.get_total_flops() == region_flops("paper_bn", REGION, 5)


@pytest.fixture
def everything_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_is_installed", lambda name: True)


def test_a_cpu_tries_every_engine_in_every_format_it_takes(everything_installed: None) -> None:
    found = names(engine_choices(settings()))
    assert {"torch fp32", "torch bf16", "torch fp32, compiled", "torch bf16, compiled"} <= set(found)
    assert {"openvino fp32", "openvino bf16", "onnxruntime fp32"} <= set(found)
    assert "onnxruntime bf16" not in found
    assert not any("fp16" in name or "CUDA" in name for name in found)
    assert len(found) == len(set(found))


def test_what_the_settings_state_is_kept_and_the_rest_varies(everything_installed: None) -> None:
    assert names(engine_choices(settings(backend="torch", precision="fp32"))) == [
        "torch fp32",
        "torch fp32, compiled",
    ]
    assert names(engine_choices(settings(backend="torch", precision="bf16", compile=False))) == ["torch bf16"]
    openvino = names(engine_choices(settings(backend="openvino")))
    assert {"openvino fp32", "openvino bf16"} <= set(openvino)
    assert all(name.startswith("openvino") for name in openvino)


def test_a_gpu_has_half_precision_and_graphs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (engines, backends):
        monkeypatch.setattr(module, "choose_device", lambda name: torch.device("cuda"))
    found = names(engine_choices(EngineSettings()))
    assert {"torch fp16", "torch bf16, CUDA graph", "torch fp16, CUDA graph", "torch fp32, compiled"} <= set(found)
    assert all(name.startswith("torch") for name in found)
    assert all(choice.settings.graph == ("CUDA" in choice.name) for choice in engine_choices(EngineSettings()))
    graphs = names(engine_choices(EngineSettings(graph=True, precision="bf16")))
    assert graphs == ["torch bf16, CUDA graph"]


def test_both_products_of_matrices_are_the_same() -> None:
    product, convolution = (step() for step in matrix_products(torch.float32, 64, torch.device("cpu")))
    assert isinstance(product, torch.Tensor)
    assert isinstance(convolution, torch.Tensor)
    torch.testing.assert_close(convolution.view(64, 64), product)


def test_products_are_measured_in_every_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "SIDE", {"cpu": 64})
    found = open_products("cpu", ("fp32", "bf16", "int8", "unheard-of"))(0.0)
    assert list(found) == ["fp32", "bf16", "int8"]
    assert min(found.values()) > 0


def test_ratios_and_shares_are_those_of_the_rounds(tmp_path: Path) -> None:
    config = bench_settings(None, ["engine.device=cpu", "region.crop_size=64", "region.padding=4"])
    workload = open_workload(config, None, 1, 2, tmp_path)
    flops = region_flops("paper", config.region, workload.outputs)
    choices = [EngineChoice(settings(backend="torch", precision=name)) for name in ("fp32", "bf16")]
    outcomes = [
        RoundOutcome("one", ({"region": 0.1, "batch": 1}, {"region": 0.2, "batch": 1}), 300.0),
        RoundOutcome(
            "products", ({"fp32": 1 / (100 * flops)}, {"fp32": 1 / flops}), 9.0
        ),  # at best as fast as 100 regions a second
        RoundOutcome("torch fp32", ({"region": 0.02, "batch": 8}, {"region": 0.04, "batch": 8}), 500.0),
        RoundOutcome("torch bf16", (), 0.0, "no such thing"),
    ]
    one, fast, failed = engine_table(workload, choices, outcomes).rows
    assert one.regions == Spread(7.5, 5.0, 10.0)
    assert (one.batch, one.ratio) == (1, 1.0)
    assert one.of_peak == pytest.approx(0.075)
    assert (fast.batch, fast.ratio, fast.memory) == (8, 5.0, 500.0)
    assert fast.of_peak == pytest.approx(0.375)
    assert (failed.regions, failed.failure) == (None, "no such thing")


def test_no_share_of_a_peak_is_above_one(tmp_path: Path) -> None:
    config = bench_settings(None, ["engine.device=cpu", "region.crop_size=64", "region.padding=4"])
    workload = open_workload(config, None, 1, 2, tmp_path)
    flops = region_flops("paper", config.region, workload.outputs)
    choices = [EngineChoice(settings(backend="torch", precision=name)) for name in ("bf16", "int8")]
    products = {"fp32": 1 / (100 * flops), "bf16": 1 / (20 * flops), "int8": 1 / (10 * flops)}  # emulated
    outcomes = [
        RoundOutcome("one", ({"region": 1 / 50, "batch": 1},), 300.0),
        RoundOutcome("products", (products,), 9.0),
        RoundOutcome("torch bf16", ({"region": 1 / 80, "batch": 8},), 500.0),
        RoundOutcome("torch int8", ({"region": 1 / 150, "batch": 8},), 500.0),
    ]
    _, emulated, faster = engine_table(workload, choices, outcomes).rows
    assert emulated.of_peak == pytest.approx(0.8)  # of the product in fp32
    assert faster.of_peak is None
