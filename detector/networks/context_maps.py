"""Context: each class's score of a region anew, from what is known of the region and of its image.

A linear map a class, as in DeepID-Net (Ouyang et al., arXiv 1412.5661, contextual modelling).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.errors import DataError
from detector.networks.weight_files.safetensors_files import read_tensors, write_tensors
from detector.networks.weight_files.states import checked_state

KIND = "head"  # key of the metadata
CONTEXT = "context"
PARAMETERS = ("own", "image", "bias")  # of a map


class LinearRescoring(nn.Module):
    """Linear maps of a region's own features and of its image's features, the same for all of its regions."""

    own: Tensor
    image: Tensor
    bias: Tensor

    def __init__(self, own: Tensor, image: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("own", own)  # (C, D)
        self.register_buffer("image", image)  # (C, K)
        self.register_buffer("bias", bias)  # (C,)

    def forward(self, own: Tensor, image: Tensor) -> Tensor:
        """Log-odds (N, C) from own (N, D), or (N, C, D) where each class has its own, and image (K,) or (N, K)."""
        return weigh(own, self.own) + functional.linear(image, self.image, self.bias)


def state_of(maps: Mapping[str, LinearRescoring]) -> dict[str, Tensor]:
    """The tensors of linear maps by name."""
    return {f"{name}.{key}": value for name, each in maps.items() for key, value in each.state_dict().items()}


def maps_of(state: Mapping[str, Tensor]) -> dict[str, LinearRescoring]:
    """The linear maps of which `state_of` gave the tensors."""
    names = sorted({key.partition(".")[0] for key in state})
    return {name: LinearRescoring(*(state[f"{name}.{key}"] for key in PARAMETERS)) for name in names}


def save_context(path: Path, maps: Mapping[str, LinearRescoring], **facts: Any) -> None:
    """Write linear maps by name as safetensors, with `facts` (JSON values)."""
    write_tensors(path, state_of(maps), {KIND: CONTEXT, **facts})


def load_context(path: Path) -> tuple[dict[str, LinearRescoring], dict[str, Any]]:
    """The maps that `save_context` wrote, by name, and the facts; DataError for any other file."""
    state, facts = read_tensors(path)
    if facts.get(KIND) != CONTEXT:
        raise DataError(f"weights must be a rescoring by context, got another file ({path})")
    names = {key.partition(".")[0] for key in state}
    if state.keys() != {f"{name}.{key}" for name in names for key in PARAMETERS}:
        raise DataError(f"weights of a rescoring must be {', '.join(PARAMETERS)} of each map, got others ({path})")
    maps = maps_of(checked_state(state, path))
    for name, each in maps.items():
        shapes = [tuple(tensor.shape) for tensor in (each.own, each.image, each.bias)]
        if [len(shape) for shape in shapes] != [2, 2, 1] or len({shape[0] for shape in shapes}) > 1:
            raise DataError(f"weights of {name} must have shapes (C, D), (C, K), (C,), got {shapes} ({path})")
    return maps, facts


def weigh(own: Tensor, weight: Tensor) -> Tensor:
    """Features (N, D), or (N, C, D) where each class has its own, times weight (C, D): (N, C)."""
    return functional.linear(own, weight) if own.ndim == 2 else torch.einsum("ncd,cd->nc", own, weight)


def same_scores(columns: Sequence[int], own: int, image: int) -> LinearRescoring:
    """The rescoring of `own` and `image` features that leaves class c at its own feature number columns[c]."""
    weight = functional.one_hot(torch.tensor(columns, dtype=torch.int64), own).float()
    return LinearRescoring(weight, torch.zeros(len(weight), image), torch.zeros(len(weight)))
