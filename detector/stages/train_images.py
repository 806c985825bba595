"""Stage `train` of classification: the network, from random crops of the training images."""

from functools import partial
from pathlib import Path

from detector.config import ClassificationConfig, dump_config
from detector.data.labelled_images import LabelledImages
from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.weights import save_model
from detector.runs.pretrained import weights_file
from detector.runs.split import labelled_key
from detector.runs.stage import Stage
from detector.runs.train_loop import MetricsLog
from detector.runs.training_result import UNTRAINED, run_trainer
from detector.stages.classifier_trainer import ClassifierNetwork, ClassifierTrainer
from detector.stages.crop_batches import crop_batches
from detector.stages.training_reads import training_reads

VERSION = 1
METRICS = ("main_loss", "top1")


def train_images(
    stage: Stage,
    config: ClassificationConfig,
    training: LabelledImages,
    trainer: ClassifierTrainer,
    preprocessing: Preprocessing,
    output: Path,
) -> Path:
    """Train to the end; `output`, with the weights to test. Resumes from the last checkpoint."""
    result = stage.result(
        VERSION,
        images=labelled_key(training),
        exif=config.data.exif,
        crop=config.crop,
        settings=config.train.model_dump(exclude=UNTRAINED),
        **training_reads(
            config.network, weights_file(config.network.weights), config.engine, stage.group, config.seed
        ),
    )
    return run_trainer(
        result,
        trainer,
        partial(crop_batches, config, training, preprocessing, stage.group),
        MetricsLog.of_images(stage.root, config.train, METRICS, config.log),
        output,
        partial(_save, config, training, preprocessing),
    )


def _save(
    config: ClassificationConfig,
    training: LabelledImages,
    preprocessing: Preprocessing,
    path: Path,
    trained: ClassifierNetwork,
) -> None:
    """Write the trained weights, without auxiliary heads, with all that they need to be used."""
    save_model(
        path,
        trained.network if isinstance(trained, WithAuxiliaryHeads) else trained,
        preprocessing,
        classes=list(training.classes.names),
        wnids=list(training.classes.wnids),
        crop_size=config.crop.size,
        config=dump_config(config),
    )
