import copy
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from processes import status_of
from random_networks import randomise

from detector.config import EngineSettings
from detector.errors import ConfigError
from detector.inference import backends
from detector.inference.backends import Forward, choose_backend, make_forward
from detector.networks.backbones import make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.heads import BoxHead, FeaturesAndMoves, Probabilities
from detector.networks.quantized import measure_ranges, quantise
from detector.networks.region_classifier import RegionClassifier

FAST = [name for name in ("openvino", "onnxruntime") if importlib.util.find_spec(name)]


def settings(**values: Any) -> EngineSettings:
    return EngineSettings(**{"device": "cpu", "precision": "fp32", "backend": "torch", **values})


def make_network(variant: Variant) -> RegionClassifier:
    torch.manual_seed(0)
    network = RegionClassifier(make_backbone(variant), 5)
    randomise(network)
    return network.eval()


@pytest.mark.parametrize(
    ("backend", "variant"), [each for each in (("openvino", "paper"), ("onnxruntime", "tiny")) if each[0] in FAST]
)
def test_every_backend_gives_the_probabilities_of_torch(backend: str, variant: Variant) -> None:
    module = Probabilities(make_network(variant))
    crops = torch.randn(3, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted = make_forward(module, settings(), 3, 64)(crops)
        found = make_forward(module, settings(backend=backend), 3, 64)(crops)
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose(found["probs"], wanted["probs"], atol=1e-4)
    torch.testing.assert_close(found["features"], wanted["features"], rtol=1e-3, atol=1e-3)


@pytest.mark.skipif("openvino" not in FAST, reason="needs openvino")
def test_answers_are_not_overwritten_by_the_next_batch() -> None:
    forward = make_forward(Probabilities(make_network("tiny")), settings(backend="openvino"), 1, 64)
    first = forward(torch.zeros(1, 3, 64, 64))["probs"]
    before = first.clone()
    forward(torch.ones(1, 3, 64, 64))
    assert torch.equal(first, before)


def test_the_backend_is_chosen_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for installed, wanted in ((True, "openvino"), (False, "torch")):
        monkeypatch.setattr(backends, "_is_installed", lambda name, there=installed: there)
        assert choose_backend(settings(backend="auto")) == wanted
        assert choose_backend(settings(backend="auto", compile=True)) == "torch"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backend": "openvino"}, r"got openvino; repair: pip install 'googlenet-detector\[openvino\]'"),
        ({"backend": "openvino", "device": "meta"}, "engine.backend must be torch on meta, got openvino"),
        ({"precision": "int8", "backend": "auto"}, "got openvino; repair: pip install"),
        ({"precision": "int8", "device": "meta"}, "precision must be auto, fp32, bf16 or fp16 on meta, got int8"),
        ({"precision": "int8"}, "engine.backend must be openvino for engine.precision=int8, got torch"),
        (
            {"precision": "int8", "backend": "onnxruntime"},
            "must be openvino for engine.precision=int8, got onnxrun",
        ),
    ],
)
def test_a_backend_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(backends, "_is_installed", lambda name: False)
    with pytest.raises(ConfigError, match=message):
        choose_backend(settings().model_copy(update=values))  # meta stands for a GPU, and is no setting


def test_onnxruntime_computes_in_fp32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_is_installed", lambda name: True)
    with pytest.raises(ConfigError, match="precision must be fp32 for onnxruntime, got bf16"):
        choose_backend(settings(backend="onnxruntime", precision="bf16"))


@pytest.mark.skipif("openvino" not in FAST, reason="needs openvino")
def test_a_box_head_goes_through_the_backend_with_its_network() -> None:
    network = make_network("tiny")
    boxes = BoxHead(torch.randn(2, 4, network.width * 4) / 100, torch.randn(2, 4), 2)
    module = FeaturesAndMoves(network, boxes)
    crops = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        wanted = make_forward(module, settings(), 2, 64)(crops)
        found = make_forward(module, settings(backend="openvino"), 2, 64)(crops)
    torch.testing.assert_close(found["moves"], wanted["moves"], rtol=1e-3, atol=1e-3)


@pytest.mark.skipif("openvino" not in FAST, reason="needs openvino")
def test_two_crops_of_a_region_go_through_the_backend_in_batches_of_any_size() -> None:
    network = RegionClassifier(make_backbone("tiny"), 5, crops=2)
    randomise(network)
    module = Probabilities(network.eval())
    crops = torch.randn(3, 6, 64, 64)
    with torch.inference_mode():
        wanted = make_forward(module, settings(), 3, 64, 6)(crops)
        found = make_forward(module, settings(backend="openvino"), 3, 64, 6)(crops)
    torch.testing.assert_close(found["features"], wanted["features"], rtol=1e-3, atol=1e-3)


@pytest.mark.skipif("openvino" not in FAST, reason="needs openvino")
@pytest.mark.parametrize(("precision", "close"), [("fp32", 1e-4), ("int8", 0.06)])
def test_the_smallest_crops_have_maps_smaller_than_the_last_pool(precision: str, close: float) -> None:
    network = make_network("paper_bn")
    crops = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = network.backbone.trunk(crops).detach()  # 2x2, of which the pool sees 3x3
    network.ranges = measure_ranges(network, maps)
    module = Probabilities(network)
    with torch.inference_mode():
        wanted = module(maps)["features"]
        forward = make_forward(module, settings(backend="openvino", precision=precision), 4, 2, maps.shape[1])
        found = forward(maps)["features"]
    assert ((found - wanted).norm() / wanted.norm()).item() < close


def test_int8_takes_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_is_installed", lambda name: True)
    assert choose_backend(settings(backend="auto", precision="int8", compile=True)) == "openvino"


INT8 = {"backend": "openvino", "precision": "int8"}


@dataclass(frozen=True)
class Integers:
    """A network whose maps were measured on `crops`, and two int8 engines of it, as OpenVINO compiled them."""

    network: RegionClassifier
    crops: torch.Tensor
    forwards: list[Forward]
    compiled: list[Any]


@pytest.fixture(scope="module")
def integers() -> Iterator[Integers]:
    openvino = pytest.importorskip("openvino")
    network = make_network("paper")
    crops = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network.ranges = measure_ranges(network, crops)
    compiled: list[Any] = []
    compile_model = openvino.Core.compile_model

    def kept(*arguments: Any) -> Any:
        compiled.append(compile_model(*arguments))
        return compiled[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino.Core, "compile_model", kept)
        forwards = [make_forward(Probabilities(network), settings(**INT8), 4, 64) for _ in range(2)]
    yield Integers(network, crops, forwards, compiled)


def test_integers_give_what_torch_gives_with_rounded_values(integers: Integers) -> None:
    network, crops = integers.network, integers.crops
    rounded = copy.deepcopy(network)
    quantise(rounded, measure_ranges(network, crops))
    with torch.inference_mode():
        exact, wanted = (each.features(crops) for each in (network, rounded))
    found = integers.forwards[0](crops)["features"]
    # what lies near the middle of two steps may be rounded to either
    assert ((found - wanted).norm() / wanted.norm()).item() < 0.03
    assert ((found - exact).norm() / exact.norm()).item() < 0.06


def test_two_int8_engines_give_the_same_answers(integers: Integers) -> None:
    one, two = (forward(integers.crops) for forward in integers.forwards)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_all_convolutions_are_in_integers_but_the_first_and_those_of_normalisation(integers: Integers) -> None:
    facts = [each.get_rt_info() for each in integers.compiled[0].get_runtime_model().get_ops()]
    layers = [tuple(each[name].astype(str) for name in ("layerType", "runtimePrecision")) for each in facts]
    assert layers.count(("Convolution", "u8")) == 56
    assert sum(kind == "Convolution" for kind, _ in layers) == 59


def test_openvino_reports_its_use_to_nobody() -> None:
    code = """
import sys
from torch import nn
from detector.config import EngineSettings
from detector.inference.backends import make_forward

class Named(nn.Module):
    def forward(self, crops):
        return {"crops": crops * 2}

make_forward(Named(), EngineSettings(device="cpu", backend="openvino", precision="fp32"), 1, 8)
raise SystemExit(sys.modules["openvino_telemetry"] is not None)
"""  # a process of its own: torch.compile imports openvino, too
    assert status_of(code) == 0


@pytest.mark.parametrize(
    ("device", "compiled", "where"), [("cpu", False, "on cpu"), ("cuda", True, "with engine.compile=true")]
)
def test_a_graph_is_torch_s_on_a_gpu_and_is_not_compiled(
    device: str, compiled: bool, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "choose_device", torch.device)
    assert choose_backend(EngineSettings(device="cuda", graph=True)) == "torch"
    with pytest.raises(ConfigError, match=rf"^engine\.graph must be false {where}, got true$"):
        choose_backend(EngineSettings(device=device, graph=True, compile=compiled))


@pytest.mark.skipif("openvino" not in FAST, reason="needs openvino")
def test_int8_needs_ranges() -> None:
    with pytest.raises(
        ConfigError, match="for a network whose maps were not measured, got int8; repair: test_det"
    ):
        make_forward(Probabilities(make_network("tiny")), settings(**INT8), 1, 64)
