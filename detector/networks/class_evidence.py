"""Where in a region a class is seen: class activation maps (Zhou et al., arXiv 1512.04150).

A class's weights on the features, laid on the last map whose means the features are. They are taken as the
gradient of the class's score, so that any classifier behind the map has them; where it is linear on the means,
this is the paper's map. Where features are no means it is Grad-CAM (Selvaraju et al., arXiv 1610.02391).

Differs from Grad-CAM: what speaks against the class is not cut off.
"""

import torch
from torch import Tensor, nn

from detector.networks.member import Member
from detector.networks.region_classifier import RegionClassifier
from detector.records import FIRST_LABEL


class LastMaps(nn.Module):
    """Crops of regions to `maps` (B, C K, h, w) f32, the last maps of their K crops."""

    def __init__(self, network: RegionClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """The maps."""
        return {"maps": self.network.last_map(crops).float()}


def class_scores_of(member: Member, last_map: Tensor) -> Tensor:
    """What the classes score, (N, C), before a softmax, by last maps (N, C K, h, w): SVMs' scores, or logits."""
    features = member.network.pool(last_map)
    if member.svm is not None:
        return member.svm(features)
    return member.network.classify(features)[:, FIRST_LABEL:]


def class_evidence(member: Member, maps: Tensor, labels: Tensor) -> Tensor:
    """Evidence (N, T, K, h, w) for the classes `labels` (N, T) of N regions in the cells of their maps.

    maps (N, C K, h, w) are the last maps of a region's K crops; the member's network is on their device, in eval
    mode. Of a linear classifier on mean features the mean over the cells, summed over crops, is the class's score
    without its bias.
    """
    crops = member.network.crops
    found = []
    with torch.inference_mode(False), torch.enable_grad():
        seen = maps.detach().clone().requires_grad_()
        scores = class_scores_of(member, seen).gather(1, labels.to(seen.device) - FIRST_LABEL)
        for column in range(labels.shape[1]):
            (gradient,) = torch.autograd.grad(scores[:, column].sum(), seen, retain_graph=True)
            weights = gradient.sum((2, 3), keepdim=True)  # of a mean, the gradient of a cell is a share
            found.append((weights * seen.detach()).unflatten(1, (crops, -1)).sum(2))
    return torch.stack(found, 1)
