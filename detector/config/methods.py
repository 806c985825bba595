"""The ways in which models detect, by their names in settings, folders and reports."""

from typing import Literal, NamedTuple

ENSEMBLE = "ensemble"
CONTEXT = "context"
ScoreKind = Literal["softmax", "svm"]
WITH_BOXES = "+boxes"


class Method(NamedTuple):
    """A way in which one model detects: what scores regions, and whether box regressors move them."""

    scores: ScoreKind
    boxes: bool

    @staticmethod
    def named(name: str) -> "Method":
        """The method that `detect.method` calls so."""
        scores: ScoreKind = "svm" if name.startswith("svm") else "softmax"
        return Method(scores, name.endswith(WITH_BOXES))

    @property
    def name(self) -> str:
        """What settings and folders call it, such as svm+boxes."""
        return f"{self.scores}{WITH_BOXES if self.boxes else ''}"

    @property
    def by_svm(self) -> bool:
        """Whether the scores are those of SVMs, which are no probabilities."""
        return self.scores == "svm"
