import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from random_networks import randomise

from detector.config import EngineSettings
from detector.errors import ConfigError
from detector.inference import backends
from detector.inference.backends import choose_backend, make_forward
from detector.networks.googlenet import Variant
from detector.networks.region_classifier import RegionClassifier
from detector.networks.region_heads import BoxHead, FeaturesAndMoves, Probabilities

FAST = [name for name in ("openvino", "onnxruntime") if importlib.util.find_spec(name)]


def settings(**values: Any) -> EngineSettings:
    return EngineSettings(**{"device": "cpu", "precision": "fp32", "backend": "torch", **values})


def make_network(variant: Variant) -> RegionClassifier:
    torch.manual_seed(0)
    network = RegionClassifier(variant, 5)
    randomise(network)
    return network.eval()


@pytest.mark.parametrize("backend", FAST)
def test_every_backend_gives_the_probabilities_of_torch(backend: str) -> None:
    module = Probabilities(make_network("paper"))
    crops = torch.randn(3, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted = make_forward(module, settings(), 3, 64)(crops)
        found = make_forward(module, settings(backend=backend), 3, 64)(crops)
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose(found["probs"], wanted["probs"], atol=1e-4)
    torch.testing.assert_close(found["features"], wanted["features"], rtol=1e-3, atol=1e-3)


@pytest.mark.skipif("openvino" not in FAST, reason="needs openvino")
def test_answers_are_not_overwritten_by_the_next_batch() -> None:
    forward = make_forward(Probabilities(make_network("paper_bn")), settings(backend="openvino"), 1, 64)
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
    ],
)
def test_a_backend_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(backends, "_is_installed", lambda name: False)
    with pytest.raises(ConfigError, match=message):
        choose_backend(settings(**values))


def test_onnxruntime_computes_in_fp32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_is_installed", lambda name: True)
    with pytest.raises(ConfigError, match="precision must be fp32 for onnxruntime, got bf16"):
        choose_backend(settings(backend="onnxruntime", precision="bf16"))


@pytest.mark.skipif("openvino" not in FAST, reason="needs openvino")
def test_a_box_head_goes_through_the_backend_with_its_network() -> None:
    boxes = BoxHead(torch.randn(2, 4, 1024 * 4) / 100, torch.randn(2, 4))
    module = FeaturesAndMoves(make_network("paper_bn"), boxes)
    crops = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        wanted = make_forward(module, settings(), 2, 64)(crops)
        found = make_forward(module, settings(backend="openvino"), 2, 64)(crops)
    torch.testing.assert_close(found["moves"], wanted["moves"], rtol=1e-3, atol=1e-3)
