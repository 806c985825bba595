"""How detections are judged, and what the report shows."""

from typing import Annotated

from pydantic import Field

from detector.choices import PROTOCOLS, Choice
from detector.config.limits import MANY
from detector.config.loading import Section


class EvaluateSettings(Section):
    """The metric and the report."""

    protocol: Annotated[str, Choice(PROTOCOLS)] = "ilsvrc"
    pictures: int = Field(12, ge=0, le=10_000, description="test images drawn in the report")
    explain: int = Field(
        0, ge=0, le=10_000, description="worst test images, each with a page that shows why its objects are missed"
    )
    resamples: int = Field(
        1000, ge=2, le=MANY, description="of the test images, from which the intervals of the APs come"
    )
