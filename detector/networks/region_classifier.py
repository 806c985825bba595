"""The region classifier: GoogLeNet, average pooling, dropout, linear (arXiv 1409.4842, Table 1 and section 8)."""

from torch import Tensor, nn

from detector.networks.googlenet import FEATURES, GoogLeNet, Variant


class RegionClassifier(nn.Module):
    """Crops (B, 3, H, W), preprocessed, to logits (B, outputs); for detection outputs = C + 1, 0 is background."""

    def __init__(self, variant: Variant, outputs: int, dropout: float = 0.4) -> None:
        super().__init__()
        self.backbone = GoogLeNet(variant)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(FEATURES, outputs)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, crops: Tensor) -> Tensor:
        """Logits (B, outputs) of crops (B, 3, H, W)."""
        return self.classify(self.features(crops))

    def features(self, crops: Tensor) -> Tensor:
        """Pooled features (B, 1024) of crops (B, 3, H, W)."""
        return self.pool(self.backbone(crops))

    def pool(self, last_map: Tensor) -> Tensor:
        """Features (B, 1024), the averages of the map (B, 1024, h, w) of inception 5b."""
        return last_map.mean((2, 3))

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, outputs) of features (B, 1024)."""
        return self.classifier(self.dropout(features))
