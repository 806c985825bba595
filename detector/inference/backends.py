"""What runs a module on batches of one shape: torch, or the faster OpenVINO and ONNX Runtime on CPUs."""

import copy
import importlib
import importlib.util
import sys
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from detector.config import EngineSettings
from detector.errors import ConfigError
from detector.inference.cuda_graph import Forward, GraphForward
from detector.networks.backbones import check_rounded
from detector.networks.device import choose_device, choose_precision
from detector.networks.multibox import MultiBox
from detector.networks.onnx_export import fit_pools, traced_onnx
from detector.networks.quantized import quantise
from detector.networks.region_classifier import RegionClassifier
from detector.records import COLOURS

PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime"}
HINTS = {torch.bfloat16: "bf16", torch.float32: "f32", torch.float16: "f16"}


def choose_backend(settings: EngineSettings) -> str:
    """The backend of `settings`; "auto" is torch, but OpenVINO on a CPU where it is installed.

    ConfigError for one that is not installed, or that does not fit the device, the precision or `engine.graph`.
    """
    device = choose_device(settings.device)
    if settings.graph and (device.type != "cuda" or settings.compile):
        where = "with engine.compile=true" if device.type == "cuda" else f"on {device}"
        raise ConfigError(f"engine.graph must be false {where}, got true")
    name = settings.backend
    if settings.precision == "int8":
        return _integer_backend(name, device)
    if name == "auto":
        fits = device.type == "cpu" and not settings.compile
        return "openvino" if fits and _is_installed("openvino") else "torch"
    if name == "torch":
        return name
    if device.type != "cpu":
        raise ConfigError(f"engine.backend must be torch on {device}, got {name}")
    _check_installed(name)
    if name == "onnxruntime" and choose_precision(settings.precision, device) != torch.float32:
        raise ConfigError(f"engine.precision must be fp32 for onnxruntime, got {settings.precision}")
    return name


def _integer_backend(name: str, device: torch.device) -> str:
    if device.type != "cpu":
        raise ConfigError(f"engine.precision must be auto, fp32, bf16 or fp16 on {device}, got int8")
    if name not in ("auto", "openvino"):
        raise ConfigError(f"engine.backend must be openvino for engine.precision=int8, got {name}")
    _check_installed("openvino")
    return "openvino"


def _check_installed(name: str) -> None:
    if not _is_installed(name):
        package = PACKAGES[name]
        raise ConfigError(
            f"engine.backend must be installed, got {name}; repair: pip install 'googlenet-detector[{package}]'"
        )


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(PACKAGES[name]) is not None


def make_forward(
    module: nn.Module, settings: EngineSettings, batch_size: int, crop_size: int, channels: int = COLOURS
) -> Forward:
    """`module` as a function of crops (batch_size, channels, S, S), S = crop_size; the module stays as it is.

    Its networks compute in the precision of `settings`, whose backend runs it, heads on them in float32. For int8
    the ranges of their maps must be known; ConfigError where they are not.
    """
    precision = choose_precision(settings.precision, choose_device(settings.device))
    plain = copy.deepcopy(module).eval().requires_grad_(False)
    if settings.precision == "int8":
        _quantise(plain)
    shape = (batch_size, channels, crop_size, crop_size)
    match choose_backend(settings):
        case "openvino":
            return _openvino(plain, precision, shape)
        case "onnxruntime":
            return _onnxruntime(plain, shape)
    return _torch(plain, settings, precision)


def _quantise(module: nn.Module) -> None:
    """Make the networks in `module` round what is computed in integers."""
    for part in list(module.modules()):
        if isinstance(part, RegionClassifier):
            check_rounded(part.backbone.variant)
            if part.ranges is None:
                raise ConfigError(
                    "engine.precision must be auto, fp32, bf16 or fp16 for a network whose maps were not measured,"
                    " got int8; repair: test_det RUN engine.precision=int8 measures those of a run"
                )
            quantise(part, part.ranges)


def _torch(module: nn.Module, settings: EngineSettings, precision: torch.dtype) -> Forward:
    placed = module.to(choose_device(settings.device))
    for part in placed.modules():
        if isinstance(part, RegionClassifier):
            part.to(precision).to(memory_format=torch.channels_last)
            part.classifier.float()  # in bf16 logits about 10 would be multiples of 1/16, and scores often equal
        if isinstance(part, MultiBox):  # its priors stay as they are
            part.backbone.to(precision).to(memory_format=torch.channels_last)
            part.head.to(precision)
    forward: Forward = torch.compile(placed) if settings.compile else placed

    def run(crops: Tensor) -> dict[str, Tensor]:
        return forward(crops.to(precision))

    return GraphForward(run) if settings.graph else run


class _Tupled(nn.Module):
    """A module's named answers as a tuple, in their order, for exporters that know no names."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.module(crops).values())


def _names(module: nn.Module, crops: Tensor) -> list[str]:
    with torch.inference_mode():
        return list(module(crops[:1]))


def _openvino(module: nn.Module, precision: torch.dtype, shape: tuple[int, ...]) -> Forward:
    openvino = _import_openvino()
    crop = torch.zeros(1, *shape[1:])  # tracing a whole batch, or checking the trace, would take seconds a network
    fit_pools(module)
    names = _names(module, crop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about its own insides
        model = openvino.convert_model(torch.jit.trace(_Tupled(module), crop, check_trace=False))
    model.reshape(list(shape))
    steps = openvino.preprocess.PrePostProcessor(model)  # for crops with their channels last
    steps.input(0).tensor().set_layout(openvino.Layout("NHWC"))
    steps.input(0).model().set_layout(openvino.Layout("NCHW"))
    model = steps.build()
    properties = {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(model, "CPU", properties)

    def run(crops: Tensor) -> dict[str, Tensor]:
        found = compiled(crops.float().permute(0, 2, 3, 1).contiguous().numpy()).values()
        return {name: torch.from_numpy(array.copy()) for name, array in zip(names, found, strict=True)}

    return run


def _import_openvino() -> Any:
    """OpenVINO without its telemetry, which its models' conversion would send to Google Analytics unasked."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # as if it were not installed, which OpenVINO allows
    return importlib.import_module("openvino")


def _onnxruntime(module: nn.Module, shape: tuple[int, ...]) -> Forward:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    crops = torch.zeros(shape)
    names = _names(module, crops)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = traced_onnx(_Tupled(module), crops, names)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(crops: Tensor) -> dict[str, Tensor]:
        found = session.run(names, {"crops": crops.float().contiguous().numpy()})
        return {name: torch.from_numpy(array) for name, array in zip(names, found, strict=True)}

    return run
