"""Settings of ensembles. [1]: Szegedy et al., arXiv 1409.4842; [2]: Girshick et al., arXiv 1311.2524."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from detector.config.limits import CROP, SCALE, SMALL, SPLITS
from detector.config.loading import Section


class EnsembleSettings(Section):
    """Several models on the same proposals, their scores averaged ([1] section 8: six)."""

    members: int = Field(
        1,
        ge=1,
        le=100,
        description="models trained, from the same weights, that differ in sampling and order [1] section 7",
    )
    runs: tuple[Path, ...] = Field((), max_length=100, description="folders of further runs, on the same classes")
    mirror: bool = Field(False, description="every model also sees the crops mirrored")
    paddings: tuple[Annotated[int, Field(ge=0, le=CROP)], ...] = Field(
        (),
        max_length=16,
        description="every model also sees crops with so many pixels of context, beside region.padding [2]",
    )
    weights: tuple[Annotated[float, Field(ge=SMALL, le=SCALE)], ...] = Field(
        (), max_length=10_000, description="of the models, those of this run first; (): equal"
    )
    fit_weights: tuple[str, ...] = Field(
        (),
        max_length=SPLITS,
        description="splits of data that no model is trained on, on which the weights are learned; (): not",
    )

    @model_validator(mode="after")
    def _weights_come_from_one_place(self) -> "EnsembleSettings":
        if self.weights and self.fit_weights:
            raise ValueError("weights must be () where fit_weights names splits, got both")
        return self

    @property
    def has_several_models(self) -> bool:
        """Whether models are weighed against each other; views of one model are not."""
        return self.members > 1 or bool(self.runs)

    @property
    def weighed_on(self) -> tuple[str, ...]:
        """The splits on which the weights of the models are learned."""
        return self.fit_weights if self.has_several_models else ()

    @property
    def is_used(self) -> bool:
        """Whether there is more to average than one model's view."""
        return self.has_several_models or self.mirror or bool(self.paddings)
