"""What is made of a trained network's maps: class probabilities, SVM scores, better boxes.

R-CNN (arXiv 1311.2524, sections 2.3 and C): linear SVMs and ridge regressors on the features of the fine-tuned
network, each a linear map once it is trained. Of a region's F features, those of K crops, SVMs see all; box
regressors see the last map (C channels) of the first crop alone, the tight one.
"""

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from detector.config import RegionSettings
from detector.errors import DataError
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.safetensors_files import read_header, read_tensors, write_tensors
from detector.networks.weight_files.states import checked_state
from detector.text import shown

KIND = "head"  # key of the metadata
PARAMETERS = ("weight", "bias")
CHANNELS = 1024  # of the last map, GoogLeNet's, where a file of old states no grid


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
    """One box regressor a class: a crop's last map, averaged in `grid` x `grid` cells, to offsets (N, classes, 4).

    `model` is as an `SvmHead`'s.
    """

    weight: Tensor
    bias: Tensor
    model: str = ""

    def __init__(self, weight: Tensor, bias: Tensor, grid: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight)  # (classes, 4, channels * grid * grid)
        self.register_buffer("bias", bias)  # (classes, 4)
        self.grid = grid
        self.channels = weight.shape[2] // grid**2  # of the last map

    def forward(self, last_map: Tensor) -> Tensor:
        """Offsets (N, classes, 4), as `encode_boxes` gives them, of maps (N, channels * K, h, w)."""
        cells = pool_cells(last_map, self.channels, self.grid)
        return functional.linear(cells, self.weight.flatten(0, 1), self.bias.flatten()).view(-1, *self.bias.shape)


class ObjectnessHead(nn.Module):
    """Linear objectness of a region: the cells of the shared map at it, (N, F), to log-odds (N,) of an object.

    `model` is as an `SvmHead`'s.
    """

    weight: Tensor
    bias: Tensor
    model: str = ""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)  # (1, F)
        self.register_buffer("bias", bias)  # (1,)

    def forward(self, cells: Tensor) -> Tensor:
        """Log-odds (N,) of cells (N, F)."""
        return functional.linear(cells, self.weight, self.bias)[:, 0]


def pool_cells(last_map: Tensor, channels: int, grid: int) -> Tensor:
    """Features (N, channels * grid * grid) f32 of maps (N, channels * K, h, w): the first crop's, in cells."""
    return functional.adaptive_avg_pool2d(last_map[:, :channels].float(), grid).flatten(1)


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
    """Crops of regions to `features` (B, F), and with a box head `moves` (B, classes, 4) of boxes, f32."""

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
    """Crops of regions to `cells` (B, channels * grid * grid) f32, what a box head sees."""

    def __init__(self, network: RegionClassifier, grid: int) -> None:
        super().__init__()
        self.network = network
        self.grid = grid

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """The averages in the cells."""
        channels = self.network.backbone.facts.channels
        return {"cells": pool_cells(self.network.last_map(crops), channels, self.grid)}


class MapCells(nn.Module):
    """Pooled regions (B, C, s, s) of shared maps to `features` (B, C s s) f32, the cells themselves."""

    def __init__(self, network: RegionClassifier) -> None:
        super().__init__()
        self.network = network  # whose maps they are

    def forward(self, pooled: Tensor) -> dict[str, Tensor]:
        """The cells of a region, one channel after another."""
        return {"features": pooled.flatten(1).float()}


class Objectness(MapCells):
    """Pooled regions (B, C, s, s) of shared maps to `objects` (B,) f32, their probabilities to be an object."""

    def __init__(self, network: RegionClassifier, head: ObjectnessHead) -> None:
        super().__init__(network)
        self.head = head

    def forward(self, pooled: Tensor) -> dict[str, Tensor]:
        """The probabilities by the head."""
        return {"objects": self.head(super().forward(pooled)["features"]).sigmoid()}


def save_head(path: Path, head: SvmHead | BoxHead | ObjectnessHead, **facts: Any) -> None:
    """Write `head` as safetensors with `facts` (JSON values)."""
    grid = {"grid": head.grid} if isinstance(head, BoxHead) else {}
    write_tensors(path, head.state_dict(), {KIND: type(head).__name__, **grid, **facts})


def load_svm(path: Path) -> SvmHead:
    """The SVMs that `save_head` wrote; DataError for any other file."""
    weight, bias, facts = _read_head(path, SvmHead.__name__)
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or not weight.shape[1]:
        raise _misshapen(path, SvmHead.__name__, weight, bias, "(C, F) and (C,)")
    head = SvmHead(weight, bias)
    head.model = facts["model"]
    return head


def load_boxes(path: Path) -> BoxHead:
    """The box regressors that `save_head` wrote; DataError for any other file."""
    weight, bias, facts = _read_head(path, BoxHead.__name__)
    if weight.ndim != 3 or bias.shape != (len(weight), 4) or bias.shape != weight.shape[:2]:
        raise _misshapen(path, BoxHead.__name__, weight, bias, "(C, 4, F) and (C, 4)")
    head = BoxHead(weight, bias, _grid(weight.shape[2], facts, path))
    head.model = facts["model"]
    return head


def is_objectness(path: Path) -> bool:
    """Whether a file of weights is an `ObjectnessHead`'s; DataError where it is unreadable."""
    return read_header(path)[1].get(KIND) == ObjectnessHead.__name__


def load_objectness(path: Path) -> tuple[ObjectnessHead, RegionSettings]:
    """The objectness that `save_head` wrote, and of which cells; DataError for any other file."""
    weight, bias, facts = _read_head(path, ObjectnessHead.__name__)
    if weight.ndim != 2 or len(weight) != 1 or bias.shape != (1,):
        raise _misshapen(path, ObjectnessHead.__name__, weight, bias, "(1, F) and (1,)")
    head = ObjectnessHead(weight, bias)
    head.model = facts["model"]
    return head, ModelFacts.of(facts, path).region


def _read_head(path: Path, kind: str) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Weight, bias and facts of a head, `model` among them."""
    state, facts = read_tensors(path)
    if facts.get(KIND) != kind or state.keys() != set(PARAMETERS):
        raise DataError(f"weights must be a {kind}'s, got another file ({path})")
    model = facts.get("model", "")
    if not isinstance(model, str):
        raise DataError(f"model must be the hash of a file, got {shown(model)} ({path})")
    checked = checked_state(state, path)
    return checked["weight"], checked["bias"], {**facts, "model": model}


def _grid(numbers: int, facts: dict[str, Any], path: Path) -> int:
    """The cells along a side that a box head's numbers are of; a file of old states none."""
    grid = facts.get("grid", round((numbers / CHANNELS) ** 0.5))
    is_whole = isinstance(grid, int) and not isinstance(grid, bool)
    if not is_whole or grid < 1 or not numbers or numbers % grid**2:
        raise DataError(f"grid of a BoxHead must be n for F = m n^2, got {shown(grid)} for F = {numbers} ({path})")
    if "grid" not in facts and numbers != CHANNELS * grid**2:
        raise DataError(f"a BoxHead that states no grid must have F = {CHANNELS} n^2, got F = {numbers} ({path})")
    return grid


def _misshapen(path: Path, kind: str, weight: Tensor, bias: Tensor, wanted: str) -> DataError:
    got = f"{tuple(weight.shape)} and {tuple(bias.shape)}"
    return DataError(f"weight and bias of a {kind} must have shapes {wanted}, got {got} ({path})")
