"""Stage `train` of MultiBox: the network, from windows of the training images."""

from functools import partial
from pathlib import Path

from detector.config import MultiBoxConfig, dump_config
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.multibox_weights import save_multibox
from detector.runs.pretrained import weights_file
from detector.runs.split import Split
from detector.runs.stage import Stage
from detector.runs.train_loop import MetricsLog
from detector.runs.training_result import UNTRAINED, run_trainer
from detector.stages.multibox_trainer import MultiBoxTrainer
from detector.stages.training_reads import training_reads
from detector.stages.window_batches import window_batches

VERSION = 2
METRICS = ("match_loss", "confidence_loss", "object_confidence")


def train_windows(
    stage: Stage,
    config: MultiBoxConfig,
    training: Split,
    trainer: MultiBoxTrainer,
    preprocessing: Preprocessing,
    output: Path,
) -> Path:
    """Train to the end; `output`, with the weights. Resumes from the last checkpoint."""
    result = stage.result(
        VERSION,
        images=training.key,
        truth=training.truth_key,
        multibox=config.multibox,
        settings=config.train.model_dump(exclude=UNTRAINED),
        **training_reads(
            config.network, weights_file(config.network.weights), config.engine, stage.group, config.seed
        ),
    )
    return run_trainer(
        result,
        trainer,
        partial(window_batches, config, training, preprocessing, stage.group),
        MetricsLog.of_images(stage.root, config.train, METRICS, config.log),
        output,
        lambda path, network: save_multibox(path, network, preprocessing, config=dump_config(config)),
    )
