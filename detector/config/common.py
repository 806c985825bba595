"""Settings that detection and classification share. Sources as in `detection`."""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from detector.choices import BACKBONES, Choice
from detector.config.limits import BATCH, MANY, RATE, SPLITS, WORKERS
from detector.config.loading import Section
from detector.config.values import Single
from detector.text import shown

LONGEST_FOLDER = 250  # bytes of a folder's name


def _below_runs(name: str) -> str:
    path = PurePosixPath(name)
    longest = max((len(part.encode()) for part in path.parts), default=0)
    if path.is_absolute() or ".." in path.parts or not 0 < longest <= LONGEST_FOLDER:
        raise ValueError(f"must be a folder's name that stays below runs, got {shown(name)}")
    return name


def _device(name: str) -> str:
    if name == "meta" or not re.fullmatch("[a-z]+(:[0-9]{1,3})?", name):
        raise ValueError(f"must be auto, cpu, cuda, cuda:1 or the like, got {shown(name)}")
    return name


Names = Annotated[tuple[str, ...], Single, Field(min_length=1, max_length=SPLITS)]
RunName = Annotated[str, AfterValidator(_below_runs)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class NetworkSettings(Section):
    """The region classifier's network."""

    variant: Annotated[str, Choice(BACKBONES)] = Field(
        "paper",
        description="paper: Table 1 of [1]; paper_bn: same topology, batch norm, no LRN; torchvision's own; "
        "alexnet, vgg16, resnet50, inception_v3: torchvision's, to compare; tiny: four convolutions, for tests",
    )
    weights: Path | None = Field(
        None,
        description="pretrained .caffemodel, .npz, .pth or .safetensors, or the name of published ones: bvlc, "
        "torchvision, alexnet, vgg16, resnet50, inception_v3; none: random",
    )
    dropout: float = Field(0.4, ge=0, lt=1, description="[1] Table 1")
    head: Literal["auto", "random", "fitted", "synsets"] = Field(
        "random",
        description="of a detector: its new classifier begins at random [2], fitted to the features of the "
        "pretrained network (arXiv 2202.10054), or as that network's own, the probabilities of ImageNet's 1,000 "
        "classes summed by WordNet's synsets; auto: so where all classes are found there, else at random",
    )

    def check_head_is_random(self) -> None:
        """Raise ValueError for another head, which detectors alone have."""
        if self.head not in ("auto", "random"):
            raise ValueError(f"network.head must be random but for detectors, got {self.head}")


class TrainingSettings(Section):
    """Gradient descent, its averages and its checkpoints."""

    batch_size: int = Field(128, ge=2, le=BATCH, description="[2] P")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd: [2] P; adamw learns faster from scratch")
    learning_rate: float = Field(1e-3, gt=0, le=RATE, description="[2] P: a tenth of pretraining's")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(5e-4, ge=0, le=RATE, description="[2] S")
    schedule: Literal["step", "cosine"] = Field("step", description="step: the rate falls at intervals [2] S")
    warmup: int = Field(0, ge=0, le=MANY, description="steps of linear warm-up")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    average: Literal["none", "ema", "polyak"] = Field(
        "none", description="weights to test: the last, their moving average, or their plain mean"
    )
    average_decay: float = Field(0.999, ge=0, lt=1, description="of ema, a step")
    average_start: float = Field(
        0.5, ge=0, lt=1, description="of polyak: share of the steps before the mean begins"
    )
    checkpoint_every: int = Field(500, ge=1, le=MANY, description="steps")
    log_every: int = Field(20, ge=1, le=MANY, description="steps")


class LogSettings(Section):
    """What a training notes beside metrics.csv and log.jsonl."""

    tensorboard: bool = Field(False, description="the same numbers for TensorBoard, in RUN/tensorboard")


class EngineSettings(Section):
    """How the network is run."""

    device: Annotated[str, AfterValidator(_device)] = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto",
        description="auto: bf16 where it is fast; int8: regions by openvino on a CPU, all else (training) as auto",
    )
    backend: Literal["auto", "torch", "openvino", "onnxruntime"] = Field(
        "auto", description="of inference; auto: torch, but openvino on a CPU where it is installed"
    )
    batch_size: int = Field(0, ge=0, le=BATCH, description="regions a forward pass; 0: chosen for the device")
    compile: bool = Field(False, description="torch.compile the network for inference")
    graph: bool = Field(False, description="of torch on a GPU: launch a forward pass as one CUDA graph")
    workers: int = Field(
        -1, ge=-1, le=WORKERS, description="decoding, cropping and proposal workers; -1: one a core"
    )

    @property
    def in_floats(self) -> "EngineSettings":
        """The same, with floats in place of int8."""
        return self.model_copy(update={"precision": "auto"}) if self.precision == "int8" else self
