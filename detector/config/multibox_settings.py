"""The settings of MultiBox, each with the published value as default where there is one.

Sources: [4] Erhan et al., arXiv 1312.2249; [5] Szegedy et al., arXiv 1412.1441.
"""

from typing import Literal

from pydantic import Field, model_validator

from detector.config.common import (
    EngineSettings,
    Fraction,
    LogSettings,
    NetworkSettings,
    RunName,
    TrainingSettings,
)
from detector.config.detection_settings import DataSettings, MultiBoxInference
from detector.config.limits import BATCH, MANY, RATE, SCALE, SEED
from detector.config.loading import Section


class MultiBoxSettings(Section):
    """The slots and what they are trained for."""

    form: Literal["grid", "learned"] = Field("grid", description="1,420 priors on grids [5], or clusters [4]")
    shapes: Literal["coverage", "size"] = Field(
        "coverage",
        description="of a grid's priors: those by which all priors cover most objects, or the smallest on the "
        "finest grid",
    )
    priors: int = Field(800, ge=1, le=20_000, description="of the form learned [5]")
    box_weight: float = Field(
        30.0,
        gt=0,
        le=SCALE,
        description="of the boxes' loss beside the confidences'; with 0.3, the alpha of [4], boxes hardly leave "
        "their priors, as our offsets are fractions of the image",
    )
    matching: Literal["priors", "predictions"] = Field(
        "priors", description="objects are matched to slots by prior (trains faster), or by predicted box [4]"
    )
    bootstrap: Fraction = Field(
        0.5, description="a slot without object, if more confident, does not count: one may be unlabelled [5]"
    )
    bootstrap_start: float = Field(0.5, ge=0, le=1, description="share of the steps before that begins")
    min_area: float = Field(
        0.3, ge=0.001, le=1, description="of a training crop, share of the image; 1: whole images"
    )
    min_visible: Fraction = Field(0.5, description="objects with a smaller part of them in the crop do not count")
    mirror: bool = Field(True, description="at random")
    photometric: Fraction = Field(0.5, description="strength of changes of light and colour")


class MultiBoxTraining(TrainingSettings):
    """Training of MultiBox."""

    steps: int = Field(100_000, ge=1, le=MANY)
    batch_size: int = Field(32, ge=2, le=BATCH, description="images of all processes together")
    optimizer: Literal["sgd", "adamw"] = Field(
        "adamw", description="the new head's loss grows without end with sgd at 0.003 and more"
    )
    learning_rate: float = Field(2e-4, gt=0, le=RATE)
    schedule: Literal["step", "cosine"] = Field("cosine", description="step: divided by ten every `step_size`")
    step_size: int = Field(40_000, ge=1, le=MANY, description="steps")
    warmup: int = Field(500, ge=0, le=MANY, description="steps of linear warm-up")
    head_factor: float = Field(
        10.0, gt=0, le=SCALE, description="the new head's learning rate is so much higher than the trunk's"
    )
    frozen_stages: int = Field(
        0, ge=0, le=100, description="first stages of the trunk that stay as they are, where photographs are few"
    )


class MultiBoxConfig(Section):
    """The whole experiment."""

    name: RunName = "multibox"
    seed: int = Field(0, ge=0, le=SEED)
    data: DataSettings = DataSettings()
    network: NetworkSettings = NetworkSettings()
    multibox: MultiBoxSettings = MultiBoxSettings()
    train: MultiBoxTraining = MultiBoxTraining()
    propose: MultiBoxInference = MultiBoxInference()
    engine: EngineSettings = EngineSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _classifier_begins_at_random(self) -> "MultiBoxConfig":
        self.network.check_head_is_random()
        return self
