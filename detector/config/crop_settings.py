"""How a region becomes the network's input.

Sources: [1] Szegedy et al., arXiv 1409.4842; [2] Girshick et al., arXiv 1311.2524v5, P for the paper.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from detector.config.limits import CROP, SIDE
from detector.config.loading import Section
from detector.config.values import Single

Sides = Annotated[tuple[Annotated[int, Field(ge=32, le=SIDE)], ...], Single, Field(min_length=1, max_length=16)]


class RegionSettings(Section):
    """What the network sees of a region.

    In mode `warp` each region is cut out, scaled and goes through the whole network [2]. In mode `shared` the
    network up to a late map, GoogLeNet's inception 4e, sees the image once, and regions are pooled from its map:
    SPPnet (He et al., arXiv 1406.4729), Fast R-CNN (Girshick, arXiv 1504.08083).
    """

    mode: Literal["warp", "shared"] = Field(
        "warp", description="a pass a region [2], or regions of the image's map"
    )
    crop_size: int = Field(224, ge=32, le=CROP, description="pixels [1] Table 1")
    padding: int = Field(16, ge=0, le=CROP, description="context on each side, pixels of the crop [2] P")
    wide_padding: int = Field(
        0,
        ge=0,
        le=CROP,
        description="as padding, of a second crop of each region, whose features join the first's "
        "(Gidaris and Komodakis, arXiv 1505.01749); 0: no second crop",
    )
    fill: Literal["mean", "image"] = Field(
        "mean", description="what a crop shows outside the image: the mean [2] P, or the image's nearest pixels"
    )
    shared_side: Sides = Field(
        (600,),
        description="of shared: the image's shorter side, pixels (arXiv 1504.08083); of several, a region's is "
        "that in which its area is nearest to crop_size squared (arXiv 1406.4729)",
    )
    shared_longest: int = Field(
        1000, ge=32, le=SIDE, description="of shared: the longer side at most (arXiv 1504.08083)"
    )
    shared_images: int = Field(
        2, ge=1, le=1024, description="of shared: images of a training batch (arXiv 1504.08083)"
    )

    @property
    def paddings(self) -> tuple[int, ...]:
        """The context of each crop of a region, the tight one first."""
        return (self.padding, self.wide_padding) if self.wide_padding else (self.padding,)

    @model_validator(mode="after")
    def _padding_leaves_a_region(self) -> "RegionSettings":
        for name, padding in (("padding", self.padding), ("wide_padding", self.wide_padding)):
            if 2 * padding >= self.crop_size:
                raise ValueError(f"{name} must be under half of crop_size {self.crop_size}, got {padding}")
        if 0 < self.wide_padding <= self.padding:
            raise ValueError(f"wide_padding must be 0 or above padding {self.padding}, got {self.wide_padding}")
        return self
