"""MultiBox in files."""

from pathlib import Path
from typing import Any

import torch

from detector.errors import DataError
from detector.networks.multibox import MultiBox
from detector.networks.preprocessing import Preprocessing
from detector.networks.weights import load_state, read_weights, save_network

KIND = "multibox"


def save_multibox(path: Path, network: MultiBox, preprocessing: Preprocessing, **metadata: Any) -> None:
    """Write `network` with its priors as safetensors, and with `metadata`."""
    facts = {"kind": KIND, "form": network.form, **metadata}
    save_network(path, network, network.backbone.variant, preprocessing, **facts)


def load_multibox(path: Path) -> tuple[MultiBox, Preprocessing]:
    """What `save_multibox` wrote, the network in eval mode; DataError where `path` is no such file."""
    weights = read_weights(path)
    if weights.metadata.get("kind") != KIND:
        raise DataError(f"weights must be those of train_multibox, got those of another network ({path})")
    priors = torch.zeros(len(weights.state.get("priors", ())), 4)
    network = MultiBox(weights.variant, weights.metadata["form"], priors)
    load_state(network, weights.state, path)
    return network.eval(), weights.preprocessing
