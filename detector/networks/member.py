"""Several networks on the same crops (arXiv 1409.4842, section 8: six models, their probabilities averaged)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detector.networks.heads import BoxHead, SvmHead
from detector.networks.region_classifier import RegionClassifier


class Member(nn.Module):
    """One network with its heads: crops of regions to scores (B, C), and offsets (B, C, 4) with a box head.

    Scores are the SVMs', or without them probabilities, background left out. A mirrored member sees the crops
    mirrored, and its offsets are turned back.
    """

    def __init__(
        self,
        network: RegionClassifier,
        svm: SvmHead | None = None,
        boxes: BoxHead | None = None,
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.svm = svm
        self.boxes = boxes
        self.mirrored = mirrored

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """`scores`, and `moves` with a box head."""
        last_map = self.network.last_map(crops.flip(3) if self.mirrored else crops)
        features = self.network.pool(last_map).float()
        found = {"scores": self._scores(features)}
        return found if self.boxes is None else found | {"moves": self._moves(self.boxes(last_map))}

    def _scores(self, features: Tensor) -> Tensor:
        if self.svm is not None:
            return self.svm(features)
        logits = self.network.classify(features.to(self.network.classifier.weight.dtype))
        return logits.float().softmax(1)[:, 1:]

    def _moves(self, moves: Tensor) -> Tensor:
        return torch.cat([-moves[..., :1], moves[..., 1:]], -1) if self.mirrored else moves


class Ensemble(nn.Module):
    """Members that take the same crops: `scores` (B, K, C), and `moves` (B, K', C, 4) of those with a box head."""

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """All members' answers, in their order."""
        found = [member(crops) for member in self.members]
        answers = {"scores": torch.stack([each["scores"] for each in found], 1)}
        moves = [each["moves"] for each in found if "moves" in each]
        return answers | ({"moves": torch.stack(moves, 1)} if moves else {})
