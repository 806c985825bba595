import io
import json
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from random_networks import noise, randomise
from torch import Tensor, nn

from detector.errors import ConfigError
from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import DESIGNS, SHARED
from detector.networks.onnx_export import export_onnx, fit_pools
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.safetensors_files import state_hash

CLASSES = ["cat", "chat botté", "犬"]
CASES: list[tuple[Variant, int, int]] = [("paper", 32, 1), ("tiny", 64, 2)]


@dataclass(frozen=True)
class Exported:
    """A network and the ONNX file that was made of it, in onnxruntime's session."""

    network: RegionClassifier
    crop_size: int
    path: Path
    session: Any
    noise: str  # what was written to the screen
    stayed: bool  # whether the network was left as it was


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    variant, crop_size, crops = request.param
    network = RegionClassifier(make_backbone(variant), len(CLASSES) + 1, crops=crops).to(
        memory_format=torch.channels_last
    )
    randomise(network)
    before = state_hash(network.state_dict())
    path = tmp_path_factory.mktemp("onnx") / "new folder" / "network.onnx"
    screen = io.StringIO()
    with redirect_stdout(screen), redirect_stderr(screen), warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(path, network, backbone_facts(variant).preprocessing, crop_size, CLASSES)
    stayed = network.training and state_hash(network.state_dict()) == before
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return Exported(network.eval(), crop_size, path, session, screen.getvalue(), stayed)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_file_computes_what_the_network_does(exported: Exported, batch: int) -> None:
    crops = noise(batch, 3 * exported.network.crops, exported.crop_size, exported.crop_size)
    with torch.inference_mode():
        wanted = exported.network(crops)
    (found,) = exported.session.run(["logits"], {"crops": crops.numpy()})
    assert wanted.std() > 0.1
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=0, atol=1e-4)


def test_the_file_says_what_goes_in_and_out(exported: Exported) -> None:
    (crops,), (logits,) = exported.session.get_inputs(), exported.session.get_outputs()
    assert (crops.name, crops.type) == ("crops", "tensor(float)")
    assert crops.shape == ["batch", 3 * exported.network.crops, exported.crop_size, exported.crop_size]
    assert (logits.name, logits.shape) == ("logits", ["batch", 4])


def test_the_metadata_come_back(exported: Exported) -> None:
    facts = json.loads(exported.session.get_modelmeta().custom_metadata_map["detector"])
    variant = exported.network.backbone.variant
    assert (facts["variant"], facts["outputs"], facts["crop_size"]) == (variant, 4, exported.crop_size)
    assert (facts["crops"], facts["classes"]) == (exported.network.crops, CLASSES)
    assert Preprocessing.from_dict(facts["preprocessing"]) == backbone_facts(variant).preprocessing


def test_the_file_stands_alone_and_names_no_file_of_this_machine(exported: Exported) -> None:
    assert list(exported.path.parent.iterdir()) == [exported.path]
    content = exported.path.read_bytes()
    parameters = sum(p.numel() for p in exported.network.parameters())
    assert len(content) > 4 * parameters
    assert b"site-packages" not in content
    assert b"region_classifier.py" not in content


def test_exporting_is_silent_and_leaves_the_network_as_it_is(exported: Exported) -> None:
    assert exported.noise == ""
    assert exported.stayed


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_one_line_with_the_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    present = "onnxscript" if package == "onnx" else "onnx"
    monkeypatch.setitem(sys.modules, present, ModuleType(present))
    monkeypatch.setitem(sys.modules, package, None)
    message = r"^ONNX export must have the packages onnx and onnxscript, got .*; repair: pip install .*\[onnx\]'$"
    with pytest.raises(ConfigError, match=message) as caught:
        export_onnx(
            tmp_path / "a.onnx",
            RegionClassifier(make_backbone("paper"), 2),
            backbone_facts("paper").preprocessing,
            64,
        )
    assert package in str(caught.value).split("got")[1]
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variant", DESIGNS)
def test_pools_that_fit_their_maps_give_the_same(variant: Variant) -> None:
    network, fitting = (RegionClassifier(make_backbone(variant), 3).eval() for _ in range(2))
    fitting.load_state_dict(network.state_dict())
    fit_pools(fitting)
    sides = sorted({SHARED.map_side(size) for size in range(32, 81)})
    assert sides == [2, 3, 4, 5]
    with torch.inference_mode():
        for side in sides:
            maps = noise(2, SHARED.channels, side, side)
            assert torch.equal(fitting.features(maps), network.features(maps))


@pytest.mark.parametrize("size", [32, 46, 47, 80])
def test_no_fitted_pool_is_larger_than_its_map(size: int) -> None:
    with torch.device("meta"):
        network = RegionClassifier(make_backbone("paper_bn"), 3).eval()
    fit_pools(network)
    kinds = []

    def check(pool: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        side = min(inputs[0].shape[2:]) + 2 * pool.padding
        kinds.append((pool.kernel_size, pool.kernel_size <= side))

    for module in network.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(check)
    network(torch.empty(1, 3, size, size, device="meta"))
    assert len(kinds) == 4 + 9
    assert all(fits for _, fits in kinds)
    assert {kernel for kernel, _ in kinds} == ({2, 3} if size < 47 else {3})
