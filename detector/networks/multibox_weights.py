"""MultiBox in files: a pretrained trunk to start from, and the trained network."""

from pathlib import Path
from typing import Any

import torch

from detector.errors import DataError
from detector.networks.multibox import MultiBox
from detector.networks.warp import Preprocessing
from detector.networks.weights import load_state, read_weights, save_network

KIND = "multibox"


def load_trunk(network: MultiBox, path: Path) -> Preprocessing:
    """Load the trunk of a classifier's weights, of any family, into `network`; return their preprocessing.

    DataError names the layer that is missing or of another shape.
    """
    weights = read_weights(path)
    if weights.variant != network.backbone.variant:
        wanted = network.backbone.variant
        raise DataError(f"weights must be of the variant {wanted}, got those of {weights.variant} ({path})")
    prefix = "backbone."
    state = {key.removeprefix(prefix): value for key, value in weights.state.items() if key.startswith(prefix)}
    load_state(network.backbone, state, path)
    return weights.preprocessing


def save_multibox(path: Path, network: MultiBox, preprocessing: Preprocessing, **metadata: Any) -> None:
    """Write `network` with its priors as safetensors, and with `metadata`."""
    facts = {"kind": KIND, "form": network.form, **metadata}
    save_network(path, network, network.backbone.variant, preprocessing, **facts)


def load_multibox(path: Path) -> tuple[MultiBox, Preprocessing, dict[str, Any]]:
    """What `save_multibox` wrote, the network in eval mode; DataError where `path` is no such file."""
    weights = read_weights(path)
    if weights.metadata.get("kind") != KIND:
        raise DataError(f"weights must be those of train_multibox, got those of another network ({path})")
    priors = torch.zeros(len(weights.state.get("priors", ())), 4)
    network = MultiBox(weights.variant, weights.metadata["form"], priors)
    load_state(network, weights.state, path)
    return network.eval(), weights.preprocessing, weights.metadata
