"""Training a detector: every stage that the settings ask for; one whose result is there is skipped.

The stages in order, then the test of `test_detector`:

    on the training split   propose, labels, pretrain, first_rows, first_classifier, finetune,
                            features, svm, pairs, boxes, cascade_rows, cascade
    on held-out splits      propose, labels, weight_rows, weights; propose, filter, seen, context_rows, context

Where nothing is learned from regions, none are proposed for the training split.
"""

from collections.abc import Sequence
from pathlib import Path

from detector.config import Config
from detector.data.classes import write_classes
from detector.jobs.model_check import paths_of
from detector.jobs.network_task import network_task
from detector.jobs.outcome import Outcome
from detector.jobs.test_detector import run_test
from detector.jobs.train_model import Labelled, label, pretrained, train_model, with_classifier
from detector.jobs.train_rest import learn_context, train_cascade, weigh_models
from detector.jobs.trained_models import further_models, image_network, model_files
from detector.jobs.training_data import Splits, check_settings, open_splits
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import Group, alone_on
from detector.runs.statement import begin_statement, state_files


def run_training(run: RunFolder, config: Config, group: Group | None = None) -> Outcome:
    """Train a detector on the training split and test it on the test split; the report goes to `report/`."""
    job = Job(run, config, group or alone_on(config.engine.device))
    splits = open_splits(config)
    task = network_task(config, splits.training.dataset.classes)
    check_settings(job, splits, task)
    if job.group.is_first:
        begin_statement(run, config, paths_of(further_models(config.ensemble)))
        run.begin(config)
        write_classes(run.path / "classes.csv", splits.training.dataset.classes)
        run.log_notes(dict.fromkeys(splits.training.dataset.notes + splits.testing.dataset.notes))
    labelled = label(job, splits.training) if config.learns else None
    validation = label(job, splits.validation) if labelled and splits.validation else None
    if labelled:
        task = with_classifier(job, pretrained(job, task, splits.training), labelled)
    for number in range(config.ensemble.members):
        member = job.member(number)
        train_model(member, task, splits.training, labelled, validation, number)
        _state(job, paths_of([model_files(member.run, config)]))
    _learn_rest(job, labelled, splits)
    outcome = run_test(job, splits.testing, run.path / "report")
    _state(job, [run.methods_path] if outcome.reports else [])
    return outcome


def _learn_rest(job: Job[Config], labelled: Labelled | None, splits: Splits) -> None:
    """Train the cascade, the models' weights and the rescoring by context, where they are asked for."""
    run, config = job.run, job.config
    if labelled and config.cascade.is_used:
        train_cascade(job, labelled)
        _state(job, [run.cascade_path])
    if splits.weighed:
        weigh_models(job, label(job, splits.weighed))
        _state(job, [run.weights_path])
    if labelled and splits.context:
        learn_context(job, labelled.regions, splits.context)
        _state(job, [run.context_path, image_network(run, config)])


def _state(job: Job[Config], paths: Sequence[Path]) -> None:
    if job.group.is_first:
        state_files(job.run, paths)
    job.group.wait()
