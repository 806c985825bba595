import copy
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_networks import noise, randomise
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from detector.config import EngineSettings
from detector.errors import DataError
from detector.inference.backends import make_forward
from detector.inference.score import FeatureScorer
from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.heads import FeaturesAndMoves, Probabilities
from detector.networks.member import Member
from detector.networks.onnx_export import export_onnx
from detector.networks.quantized import measure_ranges
from detector.networks.region_classifier import RegionClassifier
from detector.networks.summed_classifier import SummedClassifier, log_sum_exp
from detector.networks.weight_files.weights import (
    load_model,
    load_pretrained,
    load_summed,
    read_weights,
    save_model,
    weights_header,
)
from detector.training.loop import parameter_groups

GROUPS = (0, 2, 1, 0, 2, 2, 0)
PREPROCESSING = backbone_facts("tiny").preprocessing


def summed_network(groups: tuple[int, ...] = GROUPS, seed: int = 0) -> RegionClassifier:
    """A network whose classifier sums its classes' probabilities."""
    network = RegionClassifier(make_backbone("tiny"), max(groups) + 1)
    network.sum_classes(groups)
    randomise(network, seed)
    return network.eval()


def sums(probs: Tensor, groups: tuple[int, ...]) -> Tensor:
    """Each group's probability (B, G), class by class."""
    found = torch.zeros(len(probs), max(groups) + 1, dtype=probs.dtype)
    for row in range(len(probs)):
        for column, group in enumerate(groups):
            found[row, group] += probs[row, column]
    return found


def written(path: Path, network: RegionClassifier, **facts: Any) -> Path:
    save_model(path, network, PREPROCESSING, **facts)
    return path


def test_logits_of_a_group_are_those_of_one_class_that_is_as_likely_as_all() -> None:
    logits = torch.tensor([[0.0, 1.0, 1.0, 2.0]])
    found = log_sum_exp(logits, torch.tensor([0, 1, 1, 2]), 3)
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0 + math.log(2), 2.0]]))


def test_their_softmax_is_the_sums_of_the_classes_softmax() -> None:
    logits = noise(20, len(GROUPS)).double() * 10
    found = log_sum_exp(logits, torch.tensor(GROUPS), 3).softmax(1)
    torch.testing.assert_close(found, sums(logits.softmax(1), GROUPS))


def test_no_probability_vanishes_or_overflows() -> None:
    logits = torch.tensor([[3000.0, -3000.0, 3000.0, -3000.0]])
    found = log_sum_exp(logits, torch.tensor([0, 1, 0, 1]), 2)
    torch.testing.assert_close(
        found, torch.tensor([[3000.0 + math.log(2), -3000.0 + math.log(2)]]), rtol=1e-7, atol=0
    )


def test_gradients_are_those_of_the_plain_sum() -> None:
    logits, wanted = (noise(6, len(GROUPS)).double().requires_grad_() for _ in range(2))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    torch.nn.functional.cross_entropy(log_sum_exp(logits, torch.tensor(GROUPS), 3), labels).backward()
    torch.nn.functional.nll_loss(sums(wanted.softmax(1), GROUPS).log(), labels).backward()
    torch.testing.assert_close(logits.grad, wanted.grad)


def test_no_regions_have_no_logits() -> None:
    assert SummedClassifier(4, GROUPS)(torch.empty(0, 4)).shape == (0, 3)


def test_groups_of_one_class_each_are_a_linear_classifier() -> None:
    classifier, features = SummedClassifier(4, (0, 1, 2)), noise(5, 4)
    torch.testing.assert_close(classifier(features), classifier.linear(features))
    assert (classifier.in_features, classifier.out_features) == (4, 3)


def test_groups_survive_moving_averages_and_halves() -> None:
    groups = tuple(range(300))
    network = summed_network(groups)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
    for _ in range(3):
        average.update_parameters(network)
    averaged = average.module
    assert isinstance(averaged, RegionClassifier) and isinstance(averaged.classifier, SummedClassifier)
    assert averaged.classifier.groups == groups
    features = noise(2, network.width)
    wanted = network.classifier(features)
    torch.testing.assert_close(averaged.classifier(features), wanted)
    halves = copy.deepcopy(network.classifier).bfloat16()(features.bfloat16())
    assert halves.dtype == torch.float32
    torch.testing.assert_close(halves, wanted, rtol=0.05, atol=0.05)


def test_its_bias_learns_as_biases_do() -> None:
    classifier = summed_network().classifier
    groups = parameter_groups([(classifier, 10.0)], 1e-3, 5e-4, 2.0)
    assert [(group["base_rate"], group["weight_decay"]) for group in groups] == [(1e-2, 5e-4), (2e-2, 0.0)]
    assert groups[0]["params"][0] is classifier.weight
    assert groups[1]["params"][0] is classifier.bias


def test_a_file_keeps_the_groups(tmp_path: Path) -> None:
    network = summed_network()
    path = written(tmp_path / "a.safetensors", network, classes=["cat", "dog"])
    loaded, _, facts = load_model(path)
    crops = noise(2, 3, 64, 64)
    torch.testing.assert_close(loaded(crops), network(crops))
    assert facts["groups"] == list(GROUPS)
    header = weights_header(path)
    assert (header.outputs, header.width, header.groups) == (3, network.width, GROUPS)
    assert read_weights(path).outputs == 3
    scores = FeatureScorer.softmax(path).scores(np.asarray(noise(4, network.width)))
    assert scores.shape == (4, 2)


@pytest.mark.parametrize(
    "groups",
    [[0, 1], [0, 2, 1, 0, 2, 2, 3.0], "0", None, [0, 1, 3, 0, 1, 3, 0], [-1, 0, 1, 0, 1, 0, 1], [True] * 7],
)
def test_groups_that_are_none_are_named(tmp_path: Path, groups: object) -> None:
    network = summed_network()
    path = tmp_path / "a.safetensors"
    written(path, network)
    content = path.read_bytes()
    stated = json.dumps(json.dumps(list(GROUPS)))[1:-1].encode()
    assert stated in content
    wrong = json.dumps(json.dumps(groups))[1:-1].encode()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].rstrip().replace(stated, wrong)
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    for read in (load_model, weights_header):
        with pytest.raises(
            DataError, match=r"groups of weights must be numbers from 0 on, one for each of 7 classes"
        ):
            read(path)


def test_weights_begin_a_classifier_of_sums(tmp_path: Path) -> None:
    plain = RegionClassifier(make_backbone("tiny"), len(GROUPS)).eval()
    randomise(plain)
    network = RegionClassifier(make_backbone("tiny"), 3).eval()
    load_summed(network, written(tmp_path / "a.safetensors", plain), GROUPS)
    crops = noise(2, 3, 64, 64)
    torch.testing.assert_close(network(crops).softmax(1), sums(plain(crops).softmax(1), GROUPS))
    with pytest.raises(DataError, match=r"classifier.linear.weight must have shape \(8, .*\), got \(7, "):
        load_summed(network, tmp_path / "a.safetensors", (*GROUPS, 1))


def test_a_classifier_of_other_classes_keeps_its_beginning(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", summed_network(seed=1))
    network = RegionClassifier(make_backbone("tiny"), 3)
    before = network.classifier.weight.clone()
    load_pretrained(network, path)
    torch.testing.assert_close(network.classifier.weight, before)


def test_heads_and_members_see_its_probabilities() -> None:
    network, crops = summed_network(), noise(2, 3, 64, 64)
    wanted = network(crops).softmax(1)
    torch.testing.assert_close(Probabilities(network)(crops)["probs"], wanted)
    torch.testing.assert_close(Member(network)(crops)["scores"], wanted[:, 1:])
    torch.testing.assert_close(FeaturesAndMoves(network, None)(crops)["features"], network.features(crops))


@pytest.mark.parametrize(
    ("backend", "precision", "close"),
    [
        ("torch", "bf16", 0.05),
        ("openvino", "fp32", 1e-4),
        ("openvino", "bf16", 0.05),
        ("openvino", "int8", 0.1),
    ],
)
def test_every_engine_gives_its_probabilities(backend: str, precision: str, close: float) -> None:
    pytest.importorskip(backend)
    if precision == "bf16" and not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("no products of bf16 here, which libraries may or may not stand in for")
    network, crops = summed_network(), noise(3, 3, 64, 64)
    network.ranges = measure_ranges(network, crops) if precision == "int8" else None
    settings = EngineSettings(device="cpu", backend=backend, precision=precision)
    with torch.inference_mode():
        wanted = Probabilities(network)(crops)["probs"]
        found = make_forward(Probabilities(network), settings, 3, 64)(crops)["probs"]
    torch.testing.assert_close(found, wanted, rtol=0, atol=close)
    torch.testing.assert_close(found.sum(1), torch.ones(3), rtol=0, atol=close)


@pytest.mark.skipif(not importlib.util.find_spec("onnxscript"), reason="needs onnxscript")
def test_an_exported_network_sums_as_well(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    network, crops = summed_network(), noise(3, 3, 64, 64)
    export_onnx(tmp_path / "network.onnx", network, PREPROCESSING, 64, ["cat", "dog"])
    session = runtime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"crops": crops.numpy()})
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(logits), network(crops), rtol=1e-4, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["detector"])["outputs"] == 3
