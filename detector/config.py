"""Every setting of the pipeline: frozen, typed, with the published value as default and its source beside it.

Sources: [1] Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842; [2] Girshick et al., "Rich feature
hierarchies", arXiv 1311.2524v5, P for the paper and S for the settings of the authors' released system.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from detector.errors import ConfigError


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A group of settings: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSettings(Section):
    """Where the images and annotations are, and what to do about bad ones."""

    format: Literal["ilsvrc", "voc", "coco"] = "ilsvrc"
    root: Path = Path("datasets/ilsvrc_det")
    train: Names = Field(("train",), description="split names, or paths of list files; several are joined")
    test: Names = Field(("val",), description="as `train`")
    classes: Path | tuple[str, ...] | None = Field(
        None,
        description="a CSV with the header id,wnid,name (relative to root), or names in order; "
        "default: ILSVRC-DET's 200, or the names found in the training annotations",
    )
    blacklist: Path | None = Field(None, description="file of <image index> <wnid> lines, relative to root")
    bad_images: Literal["stop", "skip"] = Field("stop", description="unreadable or truncated image")
    bad_boxes: Literal["repair", "stop"] = Field(
        "repair", description="inverted, empty or outside boxes: clip, drop and report, or stop"
    )
    exif: Literal["ignore", "apply"] = Field(
        "ignore", description="orientation tag; the annotations of ILSVRC, VOC and COCO ignore it"
    )


class ProposalSettings(Section):
    """Selective search (Uijlings et al., IJCV 2013) as [2] used it, with [1]'s doubled superpixels."""

    mode: Literal["fast", "quality"] = Field("fast", description="[2] S")
    superpixel_scale: float = Field(
        2.0, ge=0.1, description="factor on k and the minimum size; [1] section 8: 2; [2]: 1"
    )
    sigma: float = Field(0.8, ge=0, description="smoothing before segmentation, pixels [2] S")
    min_side: float = Field(20.0, ge=0, description="smallest box side, pixels of the resized image [2] S")
    width: int = Field(500, ge=0, description="images are resized to this width first; 0: not [2] P")
    max_boxes: int = Field(0, ge=0, description="keep the first so many of an image; 0: all")


class RegionSettings(Section):
    """How a region becomes the network's input."""

    crop_size: int = Field(224, ge=32, description="pixels [1] Table 1")
    padding: int = Field(16, ge=0, description="context on each side, pixels of the crop [2] P")

    @model_validator(mode="after")
    def _padding_leaves_a_region(self) -> "RegionSettings":
        if 2 * self.padding >= self.crop_size:
            raise ValueError(f"padding must be under half of crop_size {self.crop_size}, got {self.padding}")
        return self


class NetworkSettings(Section):
    """The region classifier's network."""

    variant: Literal["paper", "paper_bn"] = Field(
        "paper", description="paper: Table 1 of [1]; paper_bn: same topology, batch norm, no LRN"
    )
    weights: Path | None = Field(None, description="pretrained .npz or .safetensors; none: random")
    dropout: float = Field(0.4, ge=0, lt=1, description="[1] Table 1")


class FinetuneSettings(Section):
    """Training of the region classifier."""

    steps: int = Field(50_000, ge=1, description="[2] P, ILSVRC")
    batch_size: int = Field(128, ge=2, description="[2] P")
    positives: int = Field(32, ge=1, description="regions of a batch that hold an object [2] P")
    positive_iou: Fraction = Field(0.5, description="[2] P")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd: [2] P; adamw learns faster from scratch")
    learning_rate: float = Field(1e-3, gt=0, description="[2] P: a tenth of pretraining's")
    head_factor: float = Field(
        10.0, gt=0, description="the new classifier's learning rate is so much higher [2] S"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(5e-4, ge=0, description="[2] S")
    schedule: Literal["step", "cosine"] = Field("step", description="step: divided by ten every `step_size` [2] S")
    step_size: int = Field(20_000, ge=1)
    warmup: int = Field(0, ge=0, description="steps of linear warm-up")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    average_decay: float = Field(0.0, ge=0, lt=1, description="moving average of the weights; 0: none")
    mirror: bool = Field(True, description="at random [2] S")
    photometric: Fraction = Field(
        0.5, description="strength of brightness, contrast, saturation, hue changes [1] section 6"
    )
    checkpoint_every: int = Field(500, ge=1, description="steps")
    log_every: int = Field(20, ge=1, description="steps")

    @model_validator(mode="after")
    def _positives_fit(self) -> "FinetuneSettings":
        if self.positives > self.batch_size:
            raise ValueError(f"positives must be at most batch_size {self.batch_size}, got {self.positives}")
        return self


class DetectSettings(Section):
    """From region scores to detections."""

    nms_iou: Fraction = Field(0.3, description="[2] S")
    min_score: float = Field(1e-3, ge=0, lt=1, description="boxes under this probability are dropped")
    max_per_image: int = Field(0, ge=0, description="best detections of an image over all classes; 0: all")
    max_per_class: int = Field(30_000, ge=0, description="best detections of a class over the set; 0: all [2] S")


class EvaluateSettings(Section):
    """The metric and the report."""

    protocol: Literal["ilsvrc", "voc2007", "voc2010", "coco"] = "ilsvrc"
    pictures: int = Field(12, ge=0, description="test images drawn in the report")


class EngineSettings(Section):
    """How the network is run."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: bf16 where it is fast")
    batch_size: int = Field(0, ge=0, description="regions a forward pass; 0: chosen for the device")
    compile: bool = Field(False, description="torch.compile the network for inference")
    workers: int = Field(-1, ge=-1, description="decoding and proposal workers; -1: one a core")


class Config(Section):
    """The whole experiment."""

    name: str = "detector"
    seed: int = Field(0, ge=0)
    data: DataSettings = DataSettings()
    proposals: ProposalSettings = ProposalSettings()
    region: RegionSettings = RegionSettings()
    network: NetworkSettings = NetworkSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    detect: DetectSettings = DetectSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    engine: EngineSettings = EngineSettings()


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The config file `path` with `section.key=value` words applied over it; ConfigError names key and value."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config must be a readable YAML file, got {path} ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"config must be valid YAML, got {path}: {' '.join(str(error).split())}") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"config must hold `section: key: value` lines, got {type(tree).__name__} ({path})")
    tree.setdefault("name", path.stem)
    for word in overrides:
        _apply_override(tree, word)
    return parse_config(tree, str(path))


def parse_config(tree: Mapping[str, Any], source: str) -> Config:
    """The settings in `tree` as a Config; ConfigError names the first wrong key, its value and `source`."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, source)) from None


def dump_config(config: Config) -> str:
    """`config` as YAML that `load_config` reads back to an equal config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _apply_override(tree: dict[str, Any], word: str) -> None:
    key, separator, text = word.partition("=")
    if not separator or not key:
        raise ConfigError(f"override must read section.key=value, got {word!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override value must be valid YAML, got {word!r}") from None
    *parents, leaf = key.split(".")
    for parent in parents:
        branch = tree.setdefault(parent, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"override must name a setting inside a section, got {word!r}")
        tree = branch
    tree[leaf] = value


def _explain(error: ValidationError, source: str) -> str:
    """One line for the first problem: the key, what was wanted, the value and the nearest known name."""
    problem = error.errors(include_url=False)[0]
    location = [part for part in problem["loc"] if isinstance(part, str) and not part.startswith("tuple[")]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, list(_known_keys(Config)), n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"unknown setting {key} = {problem['input']!r} ({source}){hint}"
    wanted = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {wanted} ({source})"
    return f"{key} is wrong: {wanted}, got {problem['input']!r} ({source})"


def _known_keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, f"{prefix}{name}.")
