"""A run's model as a folder for others, which is a run folder itself as far as detection goes."""

import shutil
from pathlib import Path

from detector.config import Config, EnsembleSettings, dump_config
from detector.errors import ConfigError, DataError
from detector.files import write_atomically, write_text
from detector.inference.image_context import Context
from detector.inference.models import ModelFiles, load_models, trained_classes
from detector.inference.proposal_methods.by_multibox import WEIGHTS
from detector.inference.proposer import proposal_method
from detector.jobs.load_detector import run_config
from detector.jobs.model_card import model_card
from detector.jobs.trained_models import (
    image_network,
    trained_cascade,
    trained_context,
    trained_ensemble,
    trained_model,
)
from detector.networks.onnx_export import export_onnx
from detector.networks.quantized import ranges_path
from detector.networks.weight_files.multibox_weights import load_multibox
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.stages.image_features import image_weights
from detector.stages.score_sources import check_region

CARD = "MODEL_CARD.md"
ONNX = "region_classifier.onnx"


def export_run(run: RunFolder, folder: Path, safetensors: bool, onnx: bool) -> list[Path]:
    """Write what is asked for, with the model card and the settings, into `folder`; the files, in that order.

    DataError where the run has no trained model, or `folder` is the run; ConfigError for ONNX of shared maps
    and for an ensemble with other runs.
    """
    if folder.resolve() == run.path.resolve():
        raise DataError(f"--out must be another folder than the run, got {folder}")
    config = run_config(run)
    if onnx and config.region.mode != "warp":
        raise ConfigError(f"region.mode must be warp for --onnx, got {config.region.mode}")
    target = RunFolder(folder)
    if config.ensemble.runs:
        raise ConfigError("ensemble.runs must be [] to export a run alone, got further runs: export each of them")
    if not run.model_path.is_file():
        raise DataError(f"run must hold a trained model, got none at {run.model_path}")
    check_region(config.region, run.model_path)
    card = model_card(run, config)
    files = _copy_model(run, target, config) if safetensors else []
    if onnx:
        network, preprocessing, _ = load_model(run.model_path)
        path, classes = target.path / "model" / ONNX, trained_classes(run.model_path)
        export_onnx(path, network, preprocessing, config.region.crop_size, classes)
        files.append(path)
    write_text(target.config_path, dump_config(run.read_config(Config, [])))
    write_text(target.path / CARD, card)
    return [*files, target.config_path, target.path / CARD]


def _copy_model(run: RunFolder, target: RunFolder, config: Config) -> list[Path]:
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
    multibox = _multibox_weights(config)
    if multibox is not None:
        pairs.append((multibox, target.multibox_path))
    for source, _ in pairs:
        if not source.is_file():
            raise DataError(f"run must hold a trained model, got none at {source}")
    _check_files(run, config)
    for source, copy in pairs:
        with write_atomically(copy) as temporary:
            shutil.copyfile(source, temporary)
    return [copy for _, copy in pairs]


def _check_files(run: RunFolder, config: Config) -> None:
    """Read what will be passed on; ConfigError or DataError for a file that is damaged or does not fit."""
    members = [run.member(number) for number in range(config.ensemble.members)]
    load_models([trained_model(member, config) for member in members], EnsembleSettings())
    trained_ensemble(run, config)
    if config.context.is_used:
        Context.load(trained_context(run, config))
        load_model(image_network(Job(run, config, alone())))
    cascade = trained_cascade(run, config)
    if cascade is not None:
        load_models([ModelFiles(cascade)], EnsembleSettings())
    multibox = _multibox_weights(config)
    if multibox is not None:
        load_multibox(multibox)


def _multibox_weights(config: Config) -> Path | None:
    """Those that the proposals need, None where they need none."""
    return proposal_method(config.proposals.source).files(config.proposals).get(WEIGHTS)


def _member(run: RunFolder, target: RunFolder, number: int, config: Config) -> list[tuple[Path, Path]]:
    """The files of one model, and where they go."""
    source, copy = run.member(number), target.member(number)
    pairs = [(source.model_path, copy.model_path)]
    pairs += [(source.svm_path, copy.svm_path)] if config.svm.enabled else []
    pairs += [(source.boxes_path, copy.boxes_path)] if config.boxes.enabled else []
    measured = ranges_path(source.model_path)
    return pairs + ([(measured, ranges_path(copy.model_path))] if measured.is_file() else [])
