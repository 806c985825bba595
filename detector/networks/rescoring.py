"""Context: each class's score of a region anew, from what is known of the region and of its image.

A linear map a class, as in DeepID-Net (Ouyang et al., arXiv 1412.5661, contextual modelling).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


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


def weigh(own: Tensor, weight: Tensor) -> Tensor:
    """Features (N, D), or (N, C, D) where each class has its own, times weight (C, D): (N, C)."""
    return functional.linear(own, weight) if own.ndim == 2 else torch.einsum("ncd,cd->nc", own, weight)


def same_scores(columns: Sequence[int], own: int, image: int) -> LinearRescoring:
    """The rescoring of `own` and `image` features that leaves class c at its own feature number columns[c]."""
    weight = functional.one_hot(torch.tensor(columns, dtype=torch.int64), own).float()
    return LinearRescoring(weight, torch.zeros(len(weight), image), torch.zeros(len(weight)))
