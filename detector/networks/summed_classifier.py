"""A classifier of groups of classes: the probability of a group is the sum of its classes' probabilities.

So a network of ImageNet's 1,000 classes tells a dog, which 118 of them are, without training; what no class of a
detector covers is its background.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detector.networks.transfers import constant


class SummedClassifier(nn.Module):
    """Features (B, F) to logits (B, G) f32: their softmax is that of a linear classifier, summed over groups.

    `groups` (K) are the groups of the linear classifier's K classes, 0..G-1, none without a class.
    """

    def __init__(self, width: int, groups: Sequence[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(width, len(groups))
        self.groups = tuple(groups)

    @property
    def in_features(self) -> int:
        """The number F of features."""
        return self.linear.in_features

    @property
    def out_features(self) -> int:
        """The number G of groups."""
        return max(self.groups) + 1

    @property
    def weight(self) -> Tensor:
        """The linear classifier's weight (K, F)."""
        return self.linear.weight

    @property
    def bias(self) -> Tensor:
        """The linear classifier's bias (K,)."""
        return self.linear.bias

    def forward(self, features: Tensor) -> Tensor:
        """The logits, in f32 whatever the linear classifier's precision is."""
        logits = self.linear(features).float()
        # no buffer: moving averages of a network would round it
        return log_sum_exp(logits, constant(self.groups, logits.device), self.out_features)


def log_sum_exp(logits: Tensor, groups: Tensor, count: int) -> Tensor:
    """The logarithms (B, count) of the sums of exp(logits) (B, K) over `groups` (K,) i64, none of them empty.

    Of each group the largest logit is taken out first, so that nothing overflows or vanishes.
    """
    index = groups.expand_as(logits)
    lowest = torch.full_like(logits[:, :count], float("-inf"))
    largest = lowest.scatter_reduce(1, index, logits.detach(), "amax")
    shares = (logits - largest[:, groups]).exp()
    return torch.zeros_like(lowest).scatter_add(1, index, shares).log() + largest
