"""What a test ends with, and what commands print of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from detector.data.dataset import Dataset
from detector.evaluation.metrics import decimal, summary_text
from detector.records import Report
from detector.reports.detection.report import Reports
from detector.stages.region_cut import Cut


@dataclass(frozen=True)
class Outcome:
    """What a test ended with: the data set, its reports (None without objects), the folder of the results.

    `cut` is what a cascade left of the regions, where there is one.
    """

    dataset: Dataset
    reports: Reports | None
    folder: Path
    cut: Cut | None = None

    @property
    def report(self) -> Report | None:
        """The report of the method that the run is about."""
        return None if self.reports is None else self.reports.report


def outcome_text(outcome: Outcome) -> str:
    """What a command prints at its end: the mAP table and where the results are."""
    kept = f"{outcome.cut.text()}\n" if outcome.cut else ""
    if outcome.report is None or outcome.reports is None:
        return f"{kept}{outcome.dataset.name} has no objects to evaluate against; detections: {outcome.folder}\n"
    table = summary_text(outcome.report, outcome.dataset.classes)
    return f"{table}\n{_methods_text(outcome.reports.all)}{kept}report: {outcome.folder / 'index.html'}\n"


def _methods_text(reports: Mapping[str, Report]) -> str:
    """The mean AP of each method, where there are several."""
    if len(reports) < 2:
        return ""
    width = max(map(len, reports))
    return "".join(f"{name:{width}}  {decimal(report.mean_ap)}\n" for name, report in reports.items()) + "\n"
