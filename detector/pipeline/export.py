"""A run's model as a folder for others, which is a run folder itself as far as detection goes."""

import shutil
from pathlib import Path

from detector.config import Config, dump_config
from detector.errors import ConfigError, DataError
from detector.files import write_atomically, write_text
from detector.networks.export import export_onnx
from detector.networks.quantized import ranges_path
from detector.networks.weights import load_model
from detector.pipeline.loading import run_config
from detector.pipeline.model_card import model_card
from detector.pipeline.run import RunFolder

CARD = "MODEL_CARD.md"
ONNX = "region_classifier.onnx"


def export_run(run: RunFolder, folder: Path, safetensors: bool, onnx: bool) -> list[Path]:
    """Write what is asked for, with the model card and the settings, into `folder`; the files, in that order.

    DataError where the run has no trained model, or `folder` is the run; ConfigError for ONNX of shared maps.
    """
    if folder.resolve() == run.path.resolve():
        raise DataError(f"--out must be another folder than the run, got {folder}")
    config = run_config(run)
    if onnx and config.region.mode != "warp":
        raise ConfigError(f"region.mode must be warp for --onnx, got {config.region.mode}")
    target = RunFolder(folder)
    card = model_card(run, config)
    files = _copy_model(run, target, config) if safetensors else []
    if onnx:
        network, preprocessing, facts = load_model(run.model_path)
        path = target.path / "model" / ONNX
        export_onnx(path, network, preprocessing, config.region.crop_size, facts.get("classes", ()))
        files.append(path)
    write_text(target.config_path, dump_config(config))
    write_text(target.path / CARD, card)
    return [*files, target.config_path, target.path / CARD]


def _copy_model(run: RunFolder, target: RunFolder, config: Config) -> list[Path]:
    """Copy the network, its heads, the cascade and the MultiBox network to where `load_detector` finds them."""
    pairs = [(run.model_path, target.model_path)]
    pairs += [(run.svm_path, target.svm_path)] if config.svm.enabled else []
    pairs += [(run.boxes_path, target.boxes_path)] if config.boxes.enabled else []
    pairs += [(run.cascade_path, target.cascade_path)] if config.cascade.is_used else []
    measured = ranges_path(run.model_path)
    pairs += [(measured, ranges_path(target.model_path))] if measured.is_file() else []
    multibox = config.proposals.multibox.weights
    if config.proposals.source in ("multibox", "union") and multibox is not None:
        pairs.append((multibox, target.multibox_path))
    for source, _ in pairs:
        if not source.is_file():
            raise DataError(f"run must hold a trained model, got none at {source}")
    for source, copy in pairs:
        with write_atomically(copy) as temporary:
            shutil.copyfile(source, temporary)
    return [copy for _, copy in pairs]
