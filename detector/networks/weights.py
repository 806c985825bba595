"""Weight files: the BVLC GoogLeNet, and the project's own safetensors with all that a model needs to be used."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from detector.errors import DataError
from detector.files import write_atomically
from detector.networks.googlenet import TABLE_1, Variant
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import BVLC, IMAGENET, Preprocessing

METADATA = "detector"  # one key: safetensors keeps no order among several, and equal models are equal files
BVLC_LAYERS = {
    "conv1/7x7_s2": "backbone.conv1.conv",
    "conv2/3x3_reduce": "backbone.conv2_reduce.conv",
    "conv2/3x3": "backbone.conv2.conv",
    **{
        f"inception_{name}/{theirs}": f"backbone.inception.{name}.{ours}.conv"
        for name in TABLE_1
        for theirs, ours in {
            "1x1": "conv1",
            "3x3_reduce": "reduce3",
            "3x3": "conv3",
            "5x5_reduce": "reduce5",
            "5x5": "conv5",
            "pool_proj": "pool_proj",
        }.items()
    },
    "loss3/classifier": "classifier",
}


def preprocessing_of(variant: Variant) -> Preprocessing:
    """The input that `variant` is trained with from scratch; pretrained weights bring their own."""
    return BVLC if variant == "paper" else IMAGENET


def load_pretrained(network: RegionClassifier, path: Path) -> Preprocessing:
    """Load the weights of `path` (.npz of BVLC, or our .safetensors) into `network`; return their preprocessing.

    A classifier with another number of outputs keeps its initial weights: that is fine-tuning. DataError names
    the layer that is missing or of another shape.
    """
    match path.suffix:
        case ".npz":
            state, preprocessing = _read_bvlc_npz(path), BVLC
        case ".safetensors":
            state, metadata = read_safetensors(path)
            preprocessing = Preprocessing.from_dict(metadata["preprocessing"])
        case _:
            raise DataError(f"weights must be a .npz or .safetensors file, got {path}")
    own = network.state_dict()
    if state.get("classifier.weight", own["classifier.weight"]).shape != own["classifier.weight"].shape:
        state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        state |= {key: own[key] for key in ("classifier.weight", "classifier.bias")}
    load_state(network, state, path)
    return preprocessing


def load_state(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load `state` into `network`; DataError names the first layer that is missing or misshapen."""
    own = network.state_dict()
    for key, value in own.items():
        if key not in state:
            raise DataError(f"weights must hold {key}, got a file without it ({path})")
        if state[key].shape != value.shape:
            wanted, got = tuple(value.shape), tuple(state[key].shape)
            raise DataError(f"weights of {key} must have shape {wanted}, got {got} ({path})")
    unknown = sorted(set(state) - set(own))
    if unknown:
        raise DataError(f"weights must hold the network's layers only, got {unknown[0]} ({path})")
    network.load_state_dict(dict(state))


def save_model(path: Path, network: RegionClassifier, preprocessing: Preprocessing, **metadata: Any) -> None:
    """Write `network` as safetensors, its header stating variant, outputs, preprocessing and `metadata` (JSON)."""
    facts = {
        "variant": network.backbone.variant,
        "outputs": network.classifier.out_features,
        "preprocessing": preprocessing.to_dict(),
        **metadata,
    }
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with write_atomically(path) as temporary:
        save_file(state, temporary, {METADATA: json.dumps(facts)})


def load_model(path: Path) -> tuple[RegionClassifier, Preprocessing, dict[str, Any]]:
    """The network of a file that `save_model` wrote, in eval mode, its preprocessing, and all its metadata."""
    state, metadata = read_safetensors(path)
    network = RegionClassifier(metadata["variant"], metadata["outputs"])
    load_state(network, state, path)
    return network.eval(), Preprocessing.from_dict(metadata["preprocessing"]), metadata


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the metadata of a file that `save_model` wrote; DataError where it is none."""
    try:
        with safe_open(path, "pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            metadata = json.loads((file.metadata() or {}).get(METADATA, "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"weights must be a readable safetensors file, got {path} ({error})") from None
    missing = {"variant", "outputs", "preprocessing"} - metadata.keys()
    if missing:
        raise DataError(f"weights must state {sorted(missing)[0]} in their metadata, got none ({path})")
    return state, metadata


def _read_bvlc_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of `bvlc_googlenet` (`LAYER.weight`, `LAYER.bias`) under our layers' names."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            given = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"weights must be a readable .npz file, got {path} ({error})") from None
    state = {}
    for key, value in given.items():
        layer, _, kind = key.rpartition(".")
        if layer not in BVLC_LAYERS:
            raise DataError(f"weights must hold GoogLeNet's Caffe layers, got {key} ({path})")
        state[f"{BVLC_LAYERS[layer]}.{kind}"] = value
    return state
