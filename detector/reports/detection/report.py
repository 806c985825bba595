"""What a detection report is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from detector.evaluation.recall import Coverage
from detector.records import Float64, Report
from detector.reports.detection.analysis import Analysis, Case
from detector.reports.detection.picture_choice import Picture


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """What a training noted: columns (n,) by name at `steps` (n,), and of data held out at `judged_steps`."""

    name: str
    steps: Float64
    columns: Mapping[str, Float64]
    judged_steps: Float64
    judged: Mapping[str, Float64]


@dataclass(frozen=True)
class Reports:
    """The reports of several ways to detect, by name, and the name of the one that it is all about."""

    all: Mapping[str, Report]
    chosen: str

    @property
    def report(self) -> Report:
        """That of the chosen one."""
        return self.all[self.chosen]


@dataclass(frozen=True, eq=False)
class DetectionReport:
    """Everything that the forms of one report show; what there is none of is left out of them.

    `ids` are the numbers of the classes in their files. `methods` are the reports of all ways to score, that of
    this report last. `proposals` is how the regions cover the objects that count;
    `pictures` are by heading; `seconds` are of the stages, in order. `notes` say where the numbers come from, a
    row each, and `settings` is the config file. `explained` is the address of the index of explained images.
    """

    title: str
    case: Case
    ids: Sequence[int]
    analysis: Analysis
    methods: Mapping[str, Report] = field(default_factory=dict)
    proposals: Coverage | None = None
    training: Sequence[TrainingLog] = ()
    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""
    explained: str = ""
