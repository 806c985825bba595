"""Notes of an ablation's report: where its numbers come from, and which settings its rows leave out."""

from detector.config import Config, DetectSettings
from detector.jobs.ablation_judge import row_voting_iou
from detector.runs.environment import environment_notes
from detector.runs.split import data_notes
from detector.stages.views import StoredViews


def origin_of(config: Config, views: StoredViews) -> dict[str, str]:
    """Where the numbers of the table come from."""
    dataset = views.split.dataset
    return {
        **data_notes(dataset),
        "Regions": f"{int(views.proposals.offsets[-1]):,}, scored by {config.method.name}",
        "After the scores": "; ".join([after_scores_text(config.detect), *left_out(config.detect)]),
        **environment_notes(),
    }


def after_scores_text(settings: DetectSettings) -> str:
    """How all rows turn scores into detections, and what the rows with box voting add."""
    return f"NMS {settings.nms}; box voting, at IoU {row_voting_iou(settings):g}, in the rows that name it alone"


def left_out(settings: DetectSettings) -> list[str]:
    """Lines for what a run does after its scores, and the rows of its ablation do not."""
    lines = []
    if settings.voting_iou:
        alone = f"detect.voting_iou {settings.voting_iou:g} counts in the rows with box voting alone"
        lines.append(f"{alone}: others are not what the run reports")
    if settings.iterations:
        lines.append(f"detect.iterations {settings.iterations} is left out of all rows: no box is scored again")
    return lines
