"""The region classifier as an ONNX file, for runtimes without torch."""

import copy
import importlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detector.errors import ConfigError
from detector.files import write_atomically
from detector.networks.preprocessing import Preprocessing
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.safetensors_files import METADATA
from detector.records import COLOURS

PACKAGES = ("onnx", "onnxscript")
EXAMPLE_BATCH = 2  # a batch of one can become a constant of the graph
LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def export_onnx(
    path: Path,
    network: RegionClassifier,
    preprocessing: Preprocessing,
    crop_size: int,
    classes: Sequence[str] = (),
) -> None:
    """Write `network` as one ONNX file: `crops` (batch, 3 K, S, S) f32, preprocessed, to `logits` (batch, C + 1).

    S = crop_size, K = network.crops. The model's metadata_props hold variant, outputs, crops, preprocessing,
    crop_size and classes as JSON under the key "detector". The network is left as it is. ConfigError where a
    package is missing.
    """
    onnx = _packages()[0]
    facts = {
        "variant": network.backbone.variant,
        "outputs": network.classifier.out_features,
        "crops": network.crops,
        "preprocessing": preprocessing.to_dict(),
        "crop_size": crop_size,
        "classes": list(classes),
    }
    model = _without_traces(_exported(network, crop_size))
    onnx.helper.set_model_props(model, {METADATA: json.dumps(facts)})
    with write_atomically(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def traced_onnx(module: nn.Module, crops: Tensor, names: Sequence[str]) -> bytes:
    """An ONNX model of any module that answers batches of this shape with a tuple, called `names`."""
    _packages()
    with _quiet():
        program = torch.onnx.export(
            module, (crops,), dynamo=True, input_names=["crops"], output_names=list(names), verbose=False
        )
    if program is None:  # never with dynamo=True
        raise RuntimeError("torch.onnx.export must return a program, got None")
    return _without_traces(program.model_proto).SerializeToString()


def fit_pools(module: nn.Module) -> None:
    """Make pools no larger than the maps they are given, which some runtimes ask for; their answers stay the same.

    The last pool, 3x3 in ceil mode, has a map of 2x2 where crops have less than 47 pixels.
    """
    for pool in module.modules():
        if isinstance(pool, nn.MaxPool2d) and not pool.padding:
            pool.register_forward_pre_hook(_fitting(pool))


def _fitting(pool: nn.MaxPool2d) -> Callable[[nn.Module, tuple[Tensor]], None]:
    """What makes a square pool fit the map that it is about to be given."""
    size: Any = pool.kernel_size

    def fit(module: nn.Module, inputs: tuple[Tensor]) -> None:
        pool.kernel_size = min(size, *inputs[0].shape[2:])

    return fit


def _packages() -> list[Any]:
    """The optional packages, imported."""
    try:
        return [importlib.import_module(name) for name in PACKAGES]
    except ImportError as error:
        raise ConfigError(
            f"ONNX export must have the packages {' and '.join(PACKAGES)}, got '{error}';"
            " repair: pip install 'googlenet-detector[onnx]'"
        ) from None


def _exported(network: RegionClassifier, crop_size: int) -> Any:
    """The onnx.ModelProto of `network` in eval mode, in fp32."""
    plain = copy.deepcopy(network).to("cpu", torch.float32).to(memory_format=torch.contiguous_format).eval()
    fit_pools(plain)
    crops = torch.zeros(EXAMPLE_BATCH, COLOURS * network.crops, crop_size, crop_size)
    with _quiet():
        program = torch.onnx.export(
            plain,
            (crops,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["crops"],
            output_names=["logits"],
            verbose=False,
        )
    if program is None:  # never with dynamo=True
        raise RuntimeError("torch.onnx.export must return a program, got None")
    return program.model_proto


def _without_traces(model: Any) -> Any:
    """`model` less the exporter's notes: they name files of this machine, and differ from machine to machine."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's warnings are about torch's and its own insides."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
