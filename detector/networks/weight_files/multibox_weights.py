"""MultiBox in files."""

from pathlib import Path
from typing import Any

import torch

from detector.errors import DataError
from detector.networks.backbones import make_backbone
from detector.networks.multibox import GRID_SLOTS, INPUT_SIZE, MultiBox
from detector.networks.preprocessing import Preprocessing
from detector.networks.weight_files.weights import load_state, read_weights, save_network
from detector.text import shown

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
    form = weights.metadata.get("form")
    if not isinstance(form, str) or form not in INPUT_SIZE:
        raise DataError(f"form must be one of {', '.join(INPUT_SIZE)}, got {shown(form)} ({path})")
    priors = weights.state.get("priors", torch.zeros(0, 4))
    is_right = priors.ndim == 2 and priors.shape[1] == 4 and len(priors) > 0
    if not is_right or (form == "grid" and len(priors) != GRID_SLOTS):
        wanted = GRID_SLOTS if form == "grid" else "K"
        raise DataError(f"priors must have shape ({wanted}, 4), got {tuple(priors.shape)} ({path})")
    network = MultiBox(make_backbone(weights.variant), form, torch.zeros_like(priors))
    load_state(network, weights.state, path)
    network.file = str(path)
    return network.eval(), weights.preprocessing
