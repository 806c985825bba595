"""The files of a run's model, checked and copied to where `load_detector` finds them."""

import shutil
from pathlib import Path

from detector.config import Config, EnsembleSettings
from detector.errors import DataError
from detector.files import write_atomically
from detector.inference.image_context import Context
from detector.inference.models import load_models
from detector.inference.proposer import multibox_weights
from detector.inference.region_filter import check_cascade_files
from detector.jobs.trained_models import (
    image_network,
    trained_cascade,
    trained_context,
    trained_ensemble,
    trained_models,
)
from detector.networks.quantized import ranges_path
from detector.networks.weight_files.multibox_weights import load_multibox
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.stages.image_features import image_weights


def copy_model(run: RunFolder, target: RunFolder, config: Config) -> list[Path]:
    """Copy every member's network and heads, and what goes with them, to where `load_detector` finds them."""
    pairs = [pair for number in range(config.ensemble.members) for pair in _member(run, target, number, config)]
    wanted = {
        (run.weights_path, target.weights_path): config.ensemble.fit_weights,
        (run.context_path, target.context_path): config.context.is_used,
        (run.image_network_path, target.image_network_path): config.context.is_used
        and image_weights(config.context, config.network) is not None,
        (run.cascade_path, target.cascade_path): config.cascade.is_used,
    }
    pairs += [pair for pair, is_wanted in wanted.items() if is_wanted]
    multibox = multibox_weights(config.proposals)
    if multibox is not None:
        pairs.append((multibox, target.multibox_path))
    for source, _ in pairs:
        if not source.is_file():
            raise DataError(f"run must hold a trained model, got none at {source}")
    _check_files(run, config)
    target.statement_path.unlink(missing_ok=True)  # of what an earlier export left
    stated = [(run.statement_path, target.statement_path)] if run.statement_path.is_file() else []
    for source, copy in [*pairs, *stated]:
        with write_atomically(copy) as temporary:
            shutil.copyfile(source, temporary)
    return [copy for _, copy in pairs]


def _check_files(run: RunFolder, config: Config) -> None:
    """Read what will be passed on; ConfigError or DataError for a file that is damaged or does not fit."""
    job = Job(run, config, alone())
    load_models(trained_models(job), EnsembleSettings())
    trained_ensemble(run, config)
    if config.context.is_used:
        Context.load(trained_context(run, config))
        load_model(image_network(run, config))
    cascade = trained_cascade(run, config)
    if cascade is not None:
        check_cascade_files(cascade)
    multibox = multibox_weights(config.proposals)
    if multibox is not None:
        load_multibox(multibox)


def _member(run: RunFolder, target: RunFolder, number: int, config: Config) -> list[tuple[Path, Path]]:
    """The files of one model, and where they go."""
    source, copy = run.member(number), target.member(number)
    pairs = [(source.model_path, copy.model_path)]
    pairs += [(source.svm_path, copy.svm_path)] if config.svm.enabled else []
    pairs += [(source.boxes_path, copy.boxes_path)] if config.boxes.enabled else []
    measured = ranges_path(source.model_path)
    return pairs + ([(measured, ranges_path(copy.model_path))] if measured.is_file() else [])
