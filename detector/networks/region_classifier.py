"""The region classifier: GoogLeNet, average pooling, dropout, linear (arXiv 1409.4842, Table 1 and section 8).

With two crops of a region, tight and wide, one trunk sees both and the classifier their joined features, as in
Gidaris and Komodakis, "Object detection via a multi-region & semantic segmentation-aware CNN model" (arXiv
1505.01749, section 3).
"""

from collections.abc import Mapping

from torch import Tensor, nn

from detector.networks.backbones.googlenet import FEATURES, GoogLeNet, Variant

SHARED_MAP = "4e"  # the map that regions of an image may share: behind it a crop has 7 x 7 cells

Ranges = Mapping[str, float]  # of maps, by their names in `quantized`


class RegionClassifier(nn.Module):
    """Crops (B, 3 K, S, S), preprocessed, to logits (B, outputs); for detection outputs = C + 1, 0 is background.

    K = `crops` is how many crops of each region there are; their channels come one crop after another. `ranges`,
    once they are measured, are what it can be quantised by; `file` is where its weights came from, for messages.
    """

    ranges: Ranges | None = None
    file: str = ""

    def __init__(self, variant: Variant, outputs: int, dropout: float = 0.4, crops: int = 1) -> None:
        super().__init__()
        self.crops = crops
        self.backbone = GoogLeNet(variant)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(FEATURES * crops, outputs)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    @property
    def width(self) -> int:
        """The number of features of a region, 1024 K."""
        return self.classifier.in_features

    def forward(self, crops: Tensor) -> Tensor:
        """Logits (B, outputs) of crops (B, 3 K, S, S)."""
        return self.classify(self.features(crops))

    def features(self, crops: Tensor) -> Tensor:
        """Pooled features (B, 1024 K) of crops (B, 3 K, S, S)."""
        return self.pool(self.last_map(crops))

    def last_map(self, crops: Tensor) -> Tensor:
        """The maps (B, 1024 K, h, w) of inception 5b of crops (B, 3 K, S, S), joined in the order of the crops.

        In place of crops it takes what the trunk made of them, the maps (B, 832 K, s, s) of inception 4e.
        """
        if self.crops == 1:
            return self._finish(crops)
        maps = self._finish(crops.unflatten(1, (self.crops, -1)).flatten(0, 1))  # (B K, 1024, h, w)
        return maps.unflatten(0, (-1, self.crops)).flatten(1, 2)

    def _finish(self, x: Tensor) -> Tensor:
        is_image = x.shape[1] == self.backbone.conv1.conv.in_channels
        return self.backbone(x) if is_image else self.backbone.resume(x, SHARED_MAP)

    def pool(self, last_map: Tensor) -> Tensor:
        """Features (B, 1024 K), the averages of the map (B, 1024 K, h, w) of inception 5b."""
        return last_map.mean((2, 3))

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, outputs) of features (B, 1024 K)."""
        return self.classifier(self.dropout(features))
