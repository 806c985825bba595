"""What is made of a trained network's maps: class probabilities, SVM scores, better boxes.

R-CNN (arXiv 1311.2524, sections 2.3 and C): linear SVMs and ridge regressors on the features of the fine-tuned
network, each a linear map once it is trained. Of a region's F = 1024 K features, K crops' worth, SVMs see all; box
regressors see the map of the first crop alone, the tight one.
"""

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from detector.errors import DataError
from detector.networks.backbones.googlenet import FEATURES
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.safetensors_files import read_tensors, write_tensors
from detector.networks.weight_files.states import checked_state
from detector.text import shown

KIND = "head"  # key of the metadata
PARAMETERS = ("weight", "bias")


class SvmHead(nn.Module):
    """One linear SVM a class: features (N, F), as pooled, to scores (N, C).

    `model` is the `file_hash` of the network that it was trained on, "" where it is not known.
    """

    weight: Tensor
    bias: Tensor
    model: str = ""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)  # (C, F)
        self.register_buffer("bias", bias)  # (C,)

    def forward(self, features: Tensor) -> Tensor:
        """Scores (N, C) of features (N, F)."""
        return functional.linear(features, self.weight, self.bias)


class BoxHead(nn.Module):
    """One box regressor a class: the map of 5b, averaged in `grid` x `grid` cells, to offsets (N, C, 4).

    `model` is as an `SvmHead`'s.
    """

    weight: Tensor
    bias: Tensor
    model: str = ""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)  # (C, 4, 1024 * grid * grid)
        self.register_buffer("bias", bias)  # (C, 4)
        self.grid = round((weight.shape[2] / FEATURES) ** 0.5)  # cells along a side

    def forward(self, last_map: Tensor) -> Tensor:
        """Offsets (N, C, 4), as `encode_boxes` gives them, of maps (N, F, h, w)."""
        cells = pool_cells(last_map, self.grid)
        return functional.linear(cells, self.weight.flatten(0, 1), self.bias.flatten()).view(-1, *self.bias.shape)


def pool_cells(last_map: Tensor, grid: int) -> Tensor:
    """Features (N, 1024 * grid * grid) f32 of maps (N, F, h, w): the first crop's, averaged in its cells."""
    return functional.adaptive_avg_pool2d(last_map[:, :FEATURES].float(), grid).flatten(1)


class Probabilities(nn.Module):
    """Crops of regions to `features` (B, F) and `probs` (B, outputs), f32."""

    def __init__(self, network: RegionClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Both, in one pass."""
        features = self.network.features(crops)
        return {"features": features.float(), "probs": self.network.classify(features).float().softmax(1)}


class FeaturesAndMoves(nn.Module):
    """Crops of regions to `features` (B, F), and with a box head `moves` (B, C, 4), offsets of boxes, f32."""

    def __init__(self, network: RegionClassifier, boxes: BoxHead | None) -> None:
        super().__init__()
        self.network = network
        self.boxes = boxes

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Both, in one pass."""
        last_map = self.network.last_map(crops)
        found = {"features": self.network.pool(last_map).float()}
        return found if self.boxes is None else found | {"moves": self.boxes(last_map)}


class Cells(nn.Module):
    """Crops of regions to `cells` (B, 1024 * grid * grid) f32, what a box head sees."""

    def __init__(self, network: RegionClassifier, grid: int) -> None:
        super().__init__()
        self.network = network
        self.grid = grid

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """The averages in the cells."""
        return {"cells": pool_cells(self.network.last_map(crops), self.grid)}


def save_head(path: Path, head: SvmHead | BoxHead, **facts: Any) -> None:
    """Write `head` as safetensors with `facts` (JSON values)."""
    write_tensors(path, head.state_dict(), {KIND: type(head).__name__, **facts})


def load_svm(path: Path) -> SvmHead:
    """The SVMs that `save_head` wrote; DataError for any other file."""
    weight, bias, model = _read_head(path, SvmHead.__name__)
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or not _is_width(weight.shape[1]):
        raise _misshapen(path, SvmHead.__name__, weight, bias, "(C, F) and (C,)")
    head = SvmHead(weight, bias)
    head.model = model
    return head


def load_boxes(path: Path) -> BoxHead:
    """The box regressors that `save_head` wrote; DataError for any other file."""
    weight, bias, model = _read_head(path, BoxHead.__name__)
    if weight.ndim != 3 or bias.shape != (len(weight), 4) or bias.shape != weight.shape[:2]:
        raise _misshapen(path, BoxHead.__name__, weight, bias, "(C, 4, F) and (C, 4)")
    head = BoxHead(weight, bias)
    if not head.grid or weight.shape[2] != FEATURES * head.grid**2:
        raise _misshapen(path, BoxHead.__name__, weight, bias, f"F = {FEATURES} n^2")
    head.model = model
    return head


def _read_head(path: Path, kind: str) -> tuple[Tensor, Tensor, str]:
    """Weight, bias and `model` of a head."""
    state, facts = read_tensors(path)
    if facts.get(KIND) != kind or state.keys() != set(PARAMETERS):
        raise DataError(f"weights must be a {kind}'s, got another file ({path})")
    model = facts.get("model", "")
    if not isinstance(model, str):
        raise DataError(f"model must be the hash of a file, got {shown(model)} ({path})")
    checked = checked_state(state, path)
    return checked["weight"], checked["bias"], model


def _is_width(features: int) -> bool:
    """Whether some crops of a region can have so many features."""
    return features > 0 and features % FEATURES == 0


def _misshapen(path: Path, kind: str, weight: Tensor, bias: Tensor, wanted: str) -> DataError:
    got = f"{tuple(weight.shape)} and {tuple(bias.shape)}"
    return DataError(f"weight and bias of a {kind} must have shapes {wanted}, got {got} ({path})")
