"""The backbone as an ONNX model, made by torch's exporter, in onnxruntime."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from random_networks import noise, randomise

from detector.networks.backbones.base import Variant
from detector.networks.features import GoogLeNetFeatures, Renormalise
from detector.networks.preprocessing import BVLC, IMAGENET


def make(variant: Variant, out_indices: Sequence[int]) -> GoogLeNetFeatures:
    network = GoogLeNetFeatures(variant, out_indices=out_indices).eval()
    randomise(network)
    network.renormalise = Renormalise(IMAGENET, BVLC)
    network.renormalise.scale /= 100  # activations of the usual size
    network.renormalise.shift /= 100
    return network


def session_of(network: GoogLeNetFeatures, path: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    names = [f"map{index}" for index in network.feature_info.out_indices]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about its own insides
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, 64, 96),),
            path,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"],
            output_names=names,
            verbose=False,
        )
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("variant", "out_indices"),
    [("torchvision", (2, 0))],
)
def test_the_exported_backbone_computes_the_same_maps_of_any_batch(
    tmp_path: Path, variant: Variant, out_indices: tuple[int, ...]
) -> None:
    network = make(variant, out_indices)
    session = session_of(network, tmp_path / "backbone.onnx")
    for batch in (1, 3):
        images = noise(batch, 3, 64, 96, seed=batch)
        with torch.inference_mode():
            wanted = network(images)
        found = session.run(None, {"images": images.numpy()})
        for each, same in zip(found, wanted, strict=True):
            assert same.std() > 0.1
            torch.testing.assert_close(torch.from_numpy(each), same, rtol=0, atol=1e-4)
