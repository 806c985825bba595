"""A run's model as a folder to pass on; detection reads it as it reads a run folder."""

from pathlib import Path

from detector.config import Config
from detector.errors import ConfigError, DataError
from detector.files import write_text
from detector.inference.models import trained_classes
from detector.jobs.model_card import model_card
from detector.jobs.model_copy import copy_model
from detector.jobs.run_settings import run_config
from detector.jobs.trained_models import trained_models
from detector.networks.onnx_export import export_onnx
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone

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
    trained_models(Job(run, config, alone()))
    card = model_card(run, config)
    files = copy_model(run, target, config) if safetensors else []
    if onnx:
        network, preprocessing, _ = load_model(run.model_path)
        path, classes = target.path / "model" / ONNX, trained_classes(run.model_path).names
        export_onnx(path, network, preprocessing, config.region.crop_size, classes)
        files.append(path)
    target.write_config(run.read_config(Config, []))
    write_text(target.card_path, card)
    return [*files, target.config_path, target.card_path]
