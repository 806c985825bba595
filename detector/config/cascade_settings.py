"""Settings of a cascade, which drops regions before the detector sees them.

Rejecting hopeless regions early is as in Ouyang et al., DeepID-Net, arXiv 1412.5661, where R-CNN's scores did it;
a linear look at the detector's own map is Faster R-CNN's objectness (Ren et al., arXiv 1506.01497, section 3.1).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from detector.config.common import Fraction
from detector.config.crop_settings import RegionSettings
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
    nms_iou: Fraction = Field(
        0.8,
        description="a region that overlaps a better one by more comes after all that do not; 1: only by their "
        "probability",
    )
    sees: Literal["auto", "crops", "map"] = Field(
        "auto",
        description="small crops of the regions, or the cells of the detector's own shared map; auto: the map in "
        "region.mode shared without weights of the cascade's own",
    )
    crop_size: int = Field(
        64, ge=32, le=CROP, description="of sees crops: pixels; 64 x 64 are a twelfth of 224 x 224"
    )
    images: int = Field(
        1000, ge=0, le=MANY, description="of the training split that it is learned on, drawn at random; 0: all"
    )
    weights: Path | None = Field(
        None,
        description="of sees crops: of the network that looks, as network.weights; none: network.weights itself, "
        "and without these the region classifier",
    )

    @property
    def is_used(self) -> bool:
        """Whether any region may be dropped."""
        return self.keep > 0

    def sees_map(self, region: RegionSettings) -> bool:
        """Whether it looks at the map that regions so seen share."""
        if self.sees == "auto":
            return region.mode == "shared" and self.weights is None
        return self.sees == "map"
