"""The region classifier: a network, its pooled features, dropout, linear (arXiv 1409.4842, Table 1, section 8).

With two crops of a region, tight and wide, one trunk sees both and the classifier their joined features, as in
Gidaris and Komodakis, "Object detection via a multi-region & semantic segmentation-aware CNN model" (arXiv
1505.01749, section 3).
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from detector.networks.backbones.base import Backbone
from detector.networks.summed_classifier import SummedClassifier

Ranges = Mapping[str, float]  # of maps, by their names in `quantized`


class RegionClassifier(nn.Module):
    """Crops (B, 3 K, S, S), preprocessed, to logits (B, outputs); for detection outputs = C + 1, 0 is background.

    K = `crops` is how many crops of each region there are; their channels come one crop after another. `ranges`,
    once they are measured, are what it can be quantised by; `file` is where its weights came from, for messages.
    """

    ranges: Ranges | None = None
    file: str = ""

    classifier: nn.Linear | SummedClassifier

    def __init__(self, backbone: Backbone, outputs: int, dropout: float = 0.4, crops: int = 1) -> None:
        super().__init__()
        self.crops = crops
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(backbone.facts.width * crops, outputs)
        self.restart()

    def restart(self) -> None:
        """Let the classifier begin at random."""
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def sum_classes(self, groups: Sequence[int]) -> None:
        """Give it a new classifier, a `SummedClassifier` of `groups`, one for each output."""
        self.classifier = SummedClassifier(self.width, groups)

    @property
    def width(self) -> int:
        """The number F of features of a region, K times a crop's."""
        return self.classifier.in_features

    def forward(self, crops: Tensor) -> Tensor:
        """Logits (B, outputs) of crops (B, 3 K, S, S)."""
        return self.classify(self.pool(self.map_of(crops)))

    def map_of(self, crops: Tensor) -> Tensor:
        """The last maps of what `forward` is given: of crops, those of `last_map`."""
        return self.last_map(crops)

    def features(self, crops: Tensor) -> Tensor:
        """Pooled features (B, F) of crops (B, 3 K, S, S)."""
        return self.pool(self.last_map(crops))

    def last_map(self, crops: Tensor) -> Tensor:
        """The last maps (B, C K, h, w) of crops (B, 3 K, S, S), joined in the order of the crops.

        In place of crops it takes what the backbone's `trunk` made of them, K shared maps one after another.
        """
        return self._join(self._finish(self._apart(crops)))

    def pool(self, last_map: Tensor) -> Tensor:
        """Features (B, F) of last maps (B, C K, h, w)."""
        return self._join(self.backbone.to_features(self._apart(last_map)))

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, outputs) of features (B, F), in the classifier's precision, which may be the finer one."""
        if features.dtype != self.classifier.weight.dtype:
            features = features.to(self.classifier.weight.dtype)
        return self.classifier(self.dropout(features))

    def _finish(self, x: Tensor) -> Tensor:
        is_shared = x.shape[1] == self.backbone.facts.shared.channels
        return self.backbone.tail(x) if is_shared else self.backbone(x)

    def _apart(self, x: Tensor) -> Tensor:
        """Each crop's part of x (B, C K, ...) by itself, (B K, C, ...)."""
        return x if self.crops == 1 else x.unflatten(1, (self.crops, -1)).flatten(0, 1)

    def _join(self, x: Tensor) -> Tensor:
        """The parts (B K, C, ...) of crops as regions', (B, C K, ...)."""
        return x if self.crops == 1 else x.unflatten(0, (-1, self.crops)).flatten(1, 2)
