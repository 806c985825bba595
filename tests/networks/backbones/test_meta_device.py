"""Networks that are made without memory, on torch's meta device, and get their values from a state dict alone.

By `load_state_dict(assign=True)`, by `to_empty()` and a load, or as Hugging Face's `from_pretrained` does it. What
a network computes must not depend on anything that only its constructor makes.
"""

import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from bvlc_like import random_network, write_bvlc_like
from random_networks import noise, randomise
from stand_ins import import_adapter, library
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import detector.networks
from detector.config import RegionSettings
from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.backbones import make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import DESIGNS, SHARED, GoogLeNet
from detector.networks.class_evidence import LastMaps
from detector.networks.context_maps import LinearRescoring
from detector.networks.features import GoogLeNetFeatures, Renormalise
from detector.networks.heads import (
    BoxHead,
    Cells,
    FeaturesAndMoves,
    MapCells,
    Objectness,
    ObjectnessHead,
    Probabilities,
    SvmHead,
)
from detector.networks.member import Ensemble, Member
from detector.networks.multi_task import MultiTaskClassifier
from detector.networks.multibox import INPUT_SIZE, Form, MultiBox
from detector.networks.preprocessing import BVLC, IMAGENET
from detector.networks.quantized import MapPeaks, RoundedWeight
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import ImageRegions, SharedClassifier, place_regions, scale_image
from detector.networks.summed_classifier import SummedClassifier
from detector.networks.weight_files.weights import load_pretrained

SIDE = 40
REGION = RegionSettings(mode="shared", crop_size=64, padding=0, shared_side=64)


class Case(NamedTuple):
    """How a network is made, and what it is given."""

    build: Callable[[], nn.Module]
    inputs: tuple[Any, ...]


def timm_model(variant: Variant) -> nn.Module:
    pytest.importorskip("timm")
    return import_adapter("timm_models").GoogLeNetModel(variant, 3)


def torchvision_backbone(form: str, variant: Variant) -> nn.Module:
    build = getattr(import_adapter("torchvision_backbones"), f"googlenet_{form}")
    return build(variant)


def of_library(name: str, adapter: str, variant: Variant) -> nn.Module:
    with library(name):
        backbone = import_adapter(adapter).GoogLeNetBackbone
        return backbone(variant) if name == "mmengine" else backbone(GoogLeNetFeatures(variant))


def regions() -> list[ImageRegions]:
    image, boxes = noise(1, 3, 80, 90), torch.tensor([[20.0, 20.0, 50.0, 60.0]])
    placed = place_regions(boxes, 80, 90, REGION, SHARED)
    return [ImageRegions(scale_image(image, placed.sizes), placed.windows)]


def of_variant(variant: Variant) -> dict[str, Case]:
    images, v = (noise(2, 3, SIDE, SIDE),), variant
    return {
        "GoogLeNet": Case(lambda: GoogLeNet(v), images),
        "RegionClassifier": Case(lambda: RegionClassifier(make_backbone(v), 3), images),
        "WithAuxiliaryHeads": Case(lambda: WithAuxiliaryHeads(RegionClassifier(make_backbone(v), 3)), images),
        "GoogLeNetFeatures": Case(lambda: GoogLeNetFeatures(v, out_indices=(0, 3)), images),
        "timm": Case(lambda: timm_model(v), images),
        "torchvision, pyramid": Case(lambda: torchvision_backbone("fpn_backbone", v), images),
    }


def of_the_paper() -> dict[str, Case]:
    images, pooled = (noise(2, 3, SIDE, SIDE),), (noise(2, 4, 3, 3),)

    def classifier(crops: int = 1) -> RegionClassifier:
        return RegionClassifier(make_backbone("paper"), 3, crops=crops)

    def boxes() -> BoxHead:
        return BoxHead(torch.zeros(2, 4, 4096), torch.zeros(2, 4), 2)

    def objectness() -> ObjectnessHead:
        return ObjectnessHead(torch.zeros(1, 36), torch.zeros(1))

    def member(mirrored: bool = False) -> Member:
        return Member(classifier(), SvmHead(torch.zeros(2, 1024), torch.zeros(2)), boxes(), mirrored)

    return {
        "two crops": Case(lambda: classifier(2), (noise(2, 6, SIDE, SIDE),)),
        "SharedClassifier": Case(
            lambda: SharedClassifier(make_backbone("paper"), 3, 0.4, REGION, True), (regions(),)
        ),
        "MapPeaks": Case(lambda: MapPeaks(classifier()), images),
        "Probabilities": Case(lambda: Probabilities(classifier()), images),
        "FeaturesAndMoves": Case(lambda: FeaturesAndMoves(classifier(), boxes()), images),
        "Cells": Case(lambda: Cells(classifier(), 2), images),
        "MapCells": Case(lambda: MapCells(classifier()), pooled),
        "Objectness": Case(lambda: Objectness(classifier(), objectness()), pooled),
        "LastMaps": Case(lambda: LastMaps(classifier()), images),
        "MultiTaskClassifier": Case(lambda: MultiTaskClassifier(classifier(), 2), images),
        "Ensemble": Case(lambda: Ensemble([member(), member(True)]), images),
        "torchvision": Case(lambda: torchvision_backbone("backbone", "paper"), images),
        "mmengine": Case(lambda: of_library("mmengine", "mmdet_backbone", "paper"), images),
        "detectron2": Case(lambda: of_library("detectron2", "detectron2_backbone", "paper"), images),
    }


def multibox(form: Form) -> Case:
    size, slots = INPUT_SIZE[form], 1420 if form == "grid" else 7
    return Case(lambda: MultiBox(make_backbone("paper"), form, torch.zeros(slots, 4)), (noise(1, 3, size, size),))


CASES = {
    f"{name}, {variant}": case
    for variant in DESIGNS
    for name, case in of_variant(variant).items()
    if variant != "paper_bn" or name in ("GoogLeNet", "WithAuxiliaryHeads")
}
CASES |= of_the_paper() | {
    "MultiBox, grid": multibox("grid"),
    "MultiBox, learned": multibox("learned"),
    "Renormalise": Case(lambda: Renormalise(IMAGENET, BVLC), (noise(2, 3, 4, 5),)),
    "SummedClassifier": Case(lambda: SummedClassifier(6, (0, 1, 1, 2)), (noise(2, 6),)),
    "RoundedWeight": Case(lambda: RoundedWeight(torch.ones(4, 3, 1, 1)), (noise(4, 3, 1, 1),)),
    "LinearRescoring": Case(
        lambda: LinearRescoring(torch.zeros(2, 5), torch.zeros(2, 7), torch.zeros(2)), (noise(4, 5), noise(7))
    ),
}


def usual(case: Case) -> nn.Module:
    """The network, made as usual, every number of it random."""
    network = case.build().eval()
    randomise(network)
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point() and ".norm." not in name:
            buffer.copy_(noise(*buffer.shape).abs() + 0.1)
    return network


def assigned(network: nn.Module, state: dict[str, Tensor]) -> None:
    network.load_state_dict(state, assign=True)


def emptied_and_loaded(network: nn.Module, state: dict[str, Tensor]) -> None:
    network.to_empty(device="cpu")
    spoil(chain(network.parameters(), network.buffers()))
    network.load_state_dict(state)


def loaded_by_hugging_face(network: nn.Module, state: dict[str, Tensor]) -> None:
    """As `from_pretrained` does: values are put in one by one; buffers that no file holds become empty memory."""
    for module_name, module in network.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and f"{module_name}.{name}".lstrip(".") not in state:
                module._buffers[name] = torch.empty_like(buffer, device="cpu")
                spoil([module._buffers[name]])
    for name, value in state.items():
        owner, _, key = name.rpartition(".")
        module = network.get_submodule(owner)
        trained = isinstance(getattr(module, key), nn.Parameter)
        delattr(module, key)
        if trained:
            module.register_parameter(key, nn.Parameter(value))
        else:
            module.register_buffer(key, value)


def spoil(tensors: Any) -> None:
    with torch.no_grad():
        for tensor in tensors:
            tensor.fill_(float("nan") if tensor.is_floating_point() else 77)


@pytest.mark.parametrize("name", CASES)
def test_a_network_made_on_the_meta_device_computes_as_one_made_as_usual(name: str) -> None:
    case = CASES[name]
    network = usual(case)
    with torch.inference_mode():
        wanted = tree_leaves(network(*case.inputs))
    assert all(each.isfinite().all() for each in wanted)
    for load in (assigned, emptied_and_loaded, loaded_by_hugging_face):
        with torch.device("meta"):
            other = case.build().eval()
        assert all(tensor.is_meta for tensor in chain(other.parameters(), other.buffers()))
        load(other, network.state_dict())
        with torch.inference_mode():
            found = tree_leaves(other(*case.inputs))
        for each, same in zip(found, wanted, strict=True):
            torch.testing.assert_close(each, same, rtol=0, atol=0, msg=load.__name__)


def network_classes() -> Iterator[type[nn.Module]]:
    """All that the project defines, but for adapters."""
    for found in pkgutil.iter_modules(detector.networks.__path__, "detector.networks."):
        module = import_module(found.name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == found.name:
                yield value


def test_every_class_of_networks_is_part_of_a_case() -> None:
    with torch.device("meta"):
        made = {
            type(module) for name, case in CASES.items() if "timm" not in name for module in case.build().modules()
        }
    assert {found.__name__ for found in network_classes()} <= {found.__name__ for found in made}


def test_a_file_of_weights_is_loaded_into_a_network_on_the_meta_device(tmp_path: Path) -> None:
    path = write_bvlc_like(tmp_path / "bvlc.npz")
    with torch.device("meta"):
        network = RegionClassifier(make_backbone("paper"), 1000).eval()
    load_pretrained(network, path)
    images = noise(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), random_network()(images), rtol=0, atol=0)
