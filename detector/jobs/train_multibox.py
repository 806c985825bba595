"""Training MultiBox: fit the priors, train, then propose on the test split, into a run folder."""

from dataclasses import dataclass
from pathlib import Path

from detector.config import MultiBoxConfig, MultiBoxProposals, ProposalSettings, idle_lines
from detector.evaluation.recall import CURVE_BUDGETS, counted_objects, measure_coverage
from detector.reports.recall_report import recall_text, recall_tree, write_recall_report
from detector.runs.board import check_tensorboard
from detector.runs.environment import environment_notes
from detector.runs.folder import RunFolder
from detector.runs.processes import process_group
from detector.runs.split import Split, open_split
from detector.runs.store import read_proposals
from detector.stages.multibox_trainer import make_multibox_trainer
from detector.stages.propose import run_propose
from detector.stages.train_windows import train_windows

BUDGETS = (10, 50, 100, 200)  # boxes an image that recall is reported for


@dataclass(frozen=True)
class MultiBoxOutcome:
    """What a run ended with: the table of the test split's recall, the report's page and the weights."""

    table: str
    page: Path
    weights: Path

    def text(self) -> str:
        """What a command prints at its end."""
        return f"{self.table}\nweights: {self.weights}\nreport: {self.page}\n"


def run_multibox(run: RunFolder, config: MultiBoxConfig) -> MultiBoxOutcome | None:
    """Train on the training split, propose on the test split; None in all processes but the first.

    The report goes to `report/`.
    """
    check_tensorboard(config.log)
    with run.lock() as lock:
        with process_group(config.engine.device) as group:
            lock.take(group)
            training = open_split(config.data, config.data.train)
            testing = open_split(config.data, config.data.test)
            trainer, preprocessing = make_multibox_trainer(config, training.dataset, group)
            if group.is_first:
                run.begin(config)
                notes = [*training.dataset.notes, *testing.dataset.notes, *idle_lines(config)]
                run.log_notes(dict.fromkeys(notes))
            stage = run.stage("train", group=group)
            train_windows(stage, config, training, trainer, preprocessing, run.multibox_path)
        if not group.is_first:
            return None
        return _test(run, config, testing)


def _test(run: RunFolder, config: MultiBoxConfig, testing: Split) -> MultiBoxOutcome:
    """Propose on the test split and report how much of its objects the proposals cover."""
    multibox = MultiBoxProposals(weights=run.multibox_path, boxes=max(BUDGETS), **config.propose.model_dump())
    proposals = ProposalSettings(source="multibox", multibox=multibox)
    dataset = testing.dataset
    store = run_propose(run.stage("propose", testing.name), testing, proposals, config.engine, config.seed)
    boxes = (read_proposals(store, position).boxes for position in range(len(store)))
    objects = counted_objects(dataset.objects, dataset.blacklist)
    coverages = {"multibox": measure_coverage(objects, boxes, [*CURVE_BUDGETS, *BUDGETS])}
    notes = {"Data": f"{dataset.name}: {len(dataset)} images", **environment_notes()}
    title = f"Proposal recall: {config.name}"
    page = write_recall_report(
        run.path / "report", coverages, dataset.classes, BUDGETS, notes, html_name="index.html", title=title
    )
    table = recall_text(recall_tree(coverages, dataset.classes, BUDGETS))
    return MultiBoxOutcome(table, page, run.multibox_path)
