"""The settings of classification, each with the published value as default where there is one.

Sources: [1] Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842, sections 5 to 7; [3] the solver of
the public BVLC model, for what the paper leaves out.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from detector.config.common import (
    EngineSettings,
    Fraction,
    LogSettings,
    NetworkSettings,
    RunName,
    TrainingSettings,
)
from detector.config.limits import BATCH, CROP, EPOCHS, RATE, SCALE, SEED
from detector.config.loading import Section


class ImageSettings(Section):
    """Where the labelled images are."""

    root: Path = Path("datasets/imagenet")
    train: str = Field("train", description="a folder of one folder a class, or a list of <file> <class from 0>")
    test: str = Field("val", description="as `train`")
    images: Path = Field(Path(), description="folder of a list's files, relative to root")
    classes: Path | None = Field(None, description="file of one <wnid> <name> a line, relative to root, for lists")
    outside_root: Literal["refuse", "allow"] = Field(
        "refuse", description="files that a list names by an absolute path or by .."
    )
    exif: Literal["ignore", "apply"] = Field("ignore", description="orientation tag")


class CropSettings(Section):
    """How a training image becomes the network's input."""

    size: int = Field(224, ge=32, le=CROP, description="pixels [1] Table 1")
    min_area: float = Field(0.08, ge=0.001, le=1, description="share of the image [1] section 6")
    max_area: float = Field(1.0, ge=0.001, le=1, description="[1] section 6")
    aspect: float = Field(4 / 3, ge=1, le=100, description="width by height, from its inverse [1] section 6")
    interpolation: Literal["random", "bilinear"] = Field(
        "random", description="bilinear, area, nearest or cubic with equal chance [1] section 6"
    )
    photometric: Fraction = Field(0.5, description="strength of changes of light and colour [1] section 6")
    mirror: bool = Field(True, description="at random")

    @model_validator(mode="after")
    def _areas_are_a_range(self) -> "CropSettings":
        if self.min_area > self.max_area:
            raise ValueError(f"min_area must be at most max_area {self.max_area}, got {self.min_area}")
        return self


class TrainSettings(TrainingSettings):
    """Training of the image classifier."""

    epochs: float = Field(64, gt=0, le=EPOCHS, description="times each image is seen [3]")
    batch_size: int = Field(32, ge=2, le=BATCH, description="of all processes together [3]")
    learning_rate: float = Field(0.01, gt=0, le=RATE, description="[3]")
    weight_decay: float = Field(2e-4, ge=0, le=RATE, description="[3]")
    step_epochs: float = Field(
        8, gt=0, le=EPOCHS, description="epochs; then the rate is multiplied by step_factor [1] section 6"
    )
    step_factor: float = Field(0.96, gt=0, le=1, description="[1] section 6")
    average: Literal["none", "ema", "polyak"] = Field("polyak", description="[1] section 6")
    auxiliary: float = Field(
        0.3, ge=0, le=SCALE, description="weight of the auxiliary losses; 0: no heads [1] section 5"
    )


class MultiCropSettings(Section):
    """Testing after training."""

    crops: Annotated[tuple[Literal[1, 10, 144], ...], Field(min_length=1, max_length=3)] = Field(
        (1,), description="crops an image [1] section 7"
    )


class ClassificationConfig(Section):
    """The whole experiment."""

    name: RunName = "classifier"
    seed: int = Field(0, ge=0, le=SEED)
    data: ImageSettings = ImageSettings()
    crop: CropSettings = CropSettings()
    network: NetworkSettings = NetworkSettings()
    train: TrainSettings = TrainSettings()
    test: MultiCropSettings = MultiCropSettings()
    engine: EngineSettings = EngineSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _classifier_begins_at_random(self) -> "ClassificationConfig":
        self.network.check_head_is_random()
        return self
