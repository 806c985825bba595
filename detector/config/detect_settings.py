"""Settings of the way from region scores to detections.

[2]: Girshick et al., arXiv 1311.2524v5, P for the paper and S for the settings of the authors' released system.
"""

from typing import Literal

from pydantic import Field

from detector.config.common import Fraction
from detector.config.limits import MANY, REGIONS, SCALE, SMALL
from detector.config.loading import Section


class DetectSettings(Section):
    """From region scores to detections."""

    nms: Literal["greedy", "soft_linear", "soft_gaussian"] = Field(
        "greedy", description="greedy: [2]; soft: scores fall with overlap (Bodla et al., arXiv 1704.04503)"
    )
    nms_iou: Fraction = Field(0.3, description="of greedy and soft_linear [2] S")
    soft_sigma: float = Field(0.5, ge=SMALL, le=SCALE, description="of soft_gaussian")
    voting_iou: Fraction = Field(
        0.0, description="a kept box becomes the mean of boxes that overlap it so (arXiv 1505.01749: 0.5); 0: not"
    )
    iterations: int = Field(
        0, ge=0, le=100, description="times that the boxes found are scored and moved again (arXiv 1505.01749: 2)"
    )
    iterated: int = Field(100, ge=1, le=REGIONS, description="best boxes of an image that are scored again")
    method: Literal["auto", "softmax", "softmax+boxes", "svm", "svm+boxes"] = Field(
        "auto", description="of those that were trained, the one to report; auto: with SVMs and boxes if there are"
    )
    min_score: float = Field(1e-3, ge=0, lt=1, description="boxes under this probability are dropped")
    min_svm_score: float = Field(
        -1.5, ge=-SCALE, le=SCALE, description="boxes under this score of an SVM are dropped"
    )
    max_per_image: int = Field(
        0, ge=0, le=MANY, description="best detections of an image over all classes; 0: all"
    )
    max_per_class: int = Field(
        30_000, ge=0, le=MANY, description="best detections of a class over the set; 0: all [2] S"
    )

    def lowest_score(self, by_svm: bool) -> float:
        """The score under which a box is no detection."""
        return self.min_svm_score if by_svm else self.min_score
