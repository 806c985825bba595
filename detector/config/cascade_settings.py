"""Settings of a cascade, which drops regions before the detector sees them.

Rejecting hopeless regions early is as in Ouyang et al., DeepID-Net, arXiv 1412.5661, where R-CNN's scores did it.
"""

from pathlib import Path

from pydantic import Field

from detector.config.limits import CROP, MANY, REGIONS
from detector.config.loading import Section


class CascadeSettings(Section):
    """A cheap look at all regions of an image that is tested; the best go on to the detector."""

    keep: int = Field(
        0,
        ge=0,
        le=REGIONS,
        description="best regions of an image that go on to the detector; 0: all, without a cascade",
    )
    crop_size: int = Field(64, ge=32, le=CROP, description="pixels; 64 x 64 are a twelfth of 224 x 224")
    images: int = Field(
        1000, ge=0, le=MANY, description="of the training split that it is learned on, drawn at random; 0: all"
    )
    weights: Path | None = Field(
        None,
        description="of the network that looks, as network.weights; none: network.weights itself, and without "
        "these the region classifier",
    )

    @property
    def is_used(self) -> bool:
        """Whether any region may be dropped."""
        return self.keep > 0
