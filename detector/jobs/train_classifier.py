"""Training a classifier of whole images: train, then test, into a run folder."""

from detector.config import ClassificationConfig, idle_lines
from detector.data.classes import write_classes
from detector.jobs.test_classifier import ClassificationTest, open_images, run_classification_test
from detector.runs.board import check_tensorboard
from detector.runs.folder import RunFolder
from detector.runs.processes import process_group
from detector.stages.classifier_trainer import make_classifier_trainer
from detector.stages.train_images import train_images


def run_classification(run: RunFolder, config: ClassificationConfig) -> ClassificationTest | None:
    """Train on the training split, test on the test split; None in all processes but the first of a group."""
    check_tensorboard(config.log)
    with run.lock() as lock:
        with process_group(config.engine.device) as group:
            lock.take(group)
            training = open_images(config.data, config.data.train)
            testing = open_images(config.data, config.data.test, training.classes)
            trainer, preprocessing = make_classifier_trainer(config, training, group)
            if group.is_first:
                run.begin(config)
                write_classes(run.path / "classes.csv", training.classes)
                run.log_notes(dict.fromkeys([*training.notes, *testing.notes, *idle_lines(config)]))
            stage = run.stage("train", group=group)
            train_images(stage, config, training, trainer, preprocessing, run.classifier_path)
        if not group.is_first:
            return None
        return run_classification_test(
            run, [run.classifier_path], testing, config.test.crops, config.data.exif, config.engine
        )
