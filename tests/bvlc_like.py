"""Files of random weights in the families that the project reads."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.backbones.base import Variant
from detector.networks.preprocessing import Preprocessing
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.weights import save_model


def random_network(variant: Variant = "paper", outputs: int = 1000, seed: int = 0) -> RegionClassifier:
    """A network, in eval mode, in which every number counts: biases and batch statistics, too, are random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = RegionClassifier(make_backbone(variant), outputs).eval()
        for key, value in network.state_dict().items():
            if value.ndim == 1:
                value.copy_(torch.rand(len(value)) + ("norm" in key) / 2)
    return network


def write_bvlc_like(path: Path, seed: int = 0) -> Path:
    """Random weights under the names of the BVLC model's layers."""
    state = random_network(seed=seed).state_dict()
    arrays = {
        f"{theirs}.{kind}": state[f"{ours}.{kind}"].numpy()
        for theirs, ours in backbone_facts("paper").foreign["Caffe"].items()
        for kind in ("weight", "bias")
        if f"{ours}.{kind}" in state
    }
    np.savez(path, **arrays)
    return path


def write_torchvision_like(path: Path, seed: int = 0) -> Path:
    """Random weights under the names of torchvision's layers, without the auxiliary heads."""
    state = random_network("torchvision", seed=seed).state_dict()
    named: dict[str, Tensor] = {}
    for theirs, ours in backbone_facts("torchvision").foreign["torchvision"].items():
        own = {key: value for key, value in state.items() if key.rpartition(".")[0] == ours}
        named |= {f"{theirs}.{key.rpartition('.')[2]}": value for key, value in own.items()}
    torch.save(named, path)
    return path


def write_our_own(path: Path, variant: Variant, preprocessing: Preprocessing, outputs: int = 3) -> Path:
    """Random weights in the project's own format."""
    save_model(path, random_network(variant, outputs), preprocessing)
    return path
