"""Settings of what R-CNN trains on the features of the fine-tuned network.

[2]: Girshick et al., arXiv 1311.2524v5, P for the paper and S for the settings of the authors' released system.
"""

from typing import Literal

from pydantic import Field

from detector.config.common import Fraction
from detector.config.limits import MANY, SCALE, SMALL
from detector.config.loading import Section

FEATURE_NORM = 20.0  # what features are scaled to have as mean norm [2] S


class SvmSettings(Section):
    """One linear SVM a class with hard negative mining."""

    enabled: bool = Field(False, description="train SVMs, beside the softmax")
    c: float = Field(
        1e-3, ge=SMALL, le=SCALE, description="of an example's loss beside the size of the weights [2] S"
    )
    positive_weight: float = Field(
        2.0, ge=SMALL, le=SCALE, description="of an object's loss beside a negative's [2] S"
    )
    bias: float = Field(10.0, ge=SMALL, le=SCALE, description="the constant feature [2] S")
    negative_iou: Fraction = Field(0.3, description="a negative overlaps every object of the class less [2] P")
    hard_score: float = Field(-1.0001, ge=-SCALE, le=SCALE, description="negatives above it are hard [2] S")
    evict_score: float = Field(
        -1.2, ge=-SCALE, le=SCALE, description="cached negatives under it are dropped [2] S"
    )
    retrain_after: int = Field(2000, ge=1, le=MANY, description="new hard negatives of a class [2] S")
    passes: int = Field(1, ge=1, le=1000, description="over the images [2] P")
    images: int = Field(
        5000,
        ge=0,
        le=MANY,
        description="that negatives are mined in, drawn at random, those labelled for every class first; 0: all "
        "[2] P: of val1",
    )
    tolerance: float = Field(1e-3, gt=0, lt=1, description="relative duality gap at which a class is solved")


class BoxSettings(Section):
    """One box regressor a class, from features to better boxes."""

    enabled: bool = Field(False, description="train box regressors")
    method: Literal["ridge", "joint"] = Field(
        "ridge",
        description="ridge: on the features of the fine-tuned network [2]; joint: while it is fine-tuned, with "
        "the classes (Fast R-CNN, arXiv 1504.08083)",
    )
    min_iou: Fraction = Field(
        0.6, description="of a region with its object is above it; [2] P: 0.6, arXiv 1504.08083: 0.5"
    )
    weight: float = Field(
        1.0, gt=0, le=SCALE, description="of joint: of the boxes' loss beside the classes' (arXiv 1504.08083: 1)"
    )
    images: int = Field(
        10_000,
        ge=0,
        le=MANY,
        description="of ridge: that regions are taken from, drawn at random, those labelled for every class "
        "first; 0: all; [2] P: of val1",
    )
    ridge: float = Field(
        0.0,
        ge=0,
        le=1e12,
        description="lambda; [2] P: 1000, for 10,000 pairs of a class; 0: of each class that under which the "
        "offsets of its images, each left out in turn, are foretold best",
    )
    grid: int = Field(
        3, ge=1, le=7, description="cells along a side, in which the last map is averaged; [2]'s pool5 has 6"
    )
