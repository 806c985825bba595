"""Settings of what an image tells of its regions.

[1]: Felzenszwalb et al., PAMI 2010, section 7.3; [2]: Ouyang et al., DeepID-Net, arXiv 1412.5661.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from detector.config.limits import REGIONS, SPLITS
from detector.config.loading import Section

OfRegion = Literal["box", "scores"]
OfImage = Literal["best", "imagenet", "classes", "global"]


class ContextSettings(Section):
    """A class's scores anew, from a region and its image, by a linear map that is learned on held-out data."""

    splits: tuple[str, ...] = Field(
        (),
        max_length=SPLITS,
        description="of data that no model is trained on, from which the rescoring is learned; (): no context",
    )
    region: OfRegion = Field(
        "box", description="of a region: box: its class's score and box [1]; scores: all classes' scores [2]"
    )
    image: tuple[OfImage, ...] = Field(
        ("best",),
        min_length=1,
        max_length=4,
        description="of its image: best: each class's best score [1]; imagenet: 1,000 classes' probabilities [2]; "
        "classes: the detector's classes', learned on the training data; global: the network's features",
    )
    weights: Path | None = Field(
        None,
        description="of the network that sees whole images, as network.weights; none: network.weights itself, "
        "and without these the region classifier",
    )
    after_nms: bool = Field(
        True,
        description="true: the scores as they were choose by NMS what is detected, which is then rescored [1]; "
        "false: all regions are rescored, and what they score then chooses",
    )
    detections: int = Field(
        50, ge=0, le=REGIONS, description="best detections of an image to learn from, beside each class's best one"
    )

    @property
    def is_used(self) -> bool:
        """Whether there is anything to learn from."""
        return bool(self.splits)
