"""The settings of detection, each with the published value as default and its source beside it.

Sources: [1] Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842; [2] Girshick et al., "Rich feature
hierarchies", arXiv 1311.2524v5, P for the paper and S for the settings of the authors' released system.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from detector.choices import FORMATS, PROPOSAL_METHODS, Choice, chosen_module
from detector.config.cascade_settings import CascadeSettings
from detector.config.common import (
    EngineSettings,
    Fraction,
    LogSettings,
    Names,
    NetworkSettings,
    RunName,
    TrainingSettings,
)
from detector.config.context_settings import ContextSettings
from detector.config.crop_settings import RegionSettings
from detector.config.detect_settings import DetectSettings
from detector.config.ensemble_settings import EnsembleSettings
from detector.config.evaluate_settings import EvaluateSettings
from detector.config.head_settings import BoxSettings, SvmSettings
from detector.config.limits import BATCH, CLASSES, MANY, REGIONS, SCALE, SEED, SIDE, SPLITS
from detector.config.loading import Section
from detector.config.methods import CONTEXT, ENSEMBLE, Method, ScoreKind

DEFAULT_SOURCE = "selective_search"  # of proposals; it reads no file, and is not asked for any


class DataSettings(Section):
    """Where the images and annotations are, and what to do about bad ones."""

    format: Annotated[str, Choice(FORMATS)] = "ilsvrc"
    root: Path = Path("datasets/ilsvrc_det")
    train: Names = Field(("train",), description="split names, or paths of list files; several are joined")
    test: Names = Field(("val",), description="as `train`")
    classes: Path | Annotated[tuple[str, ...], Field(max_length=CLASSES)] | None = Field(
        None,
        description="a CSV with the header id,wnid,name (relative to root), or names in order; "
        "default: ILSVRC-DET's 200, or the names found in the training annotations",
    )
    blacklist: Path | None = Field(None, description="file of <image index> <wnid> lines, relative to root")
    outside_root: Literal["refuse", "allow"] = Field(
        "refuse", description="images that a list or JSON of the data names by an absolute path or by .."
    )
    bad_images: Literal["stop", "skip"] = Field("stop", description="unreadable or truncated image")
    bad_boxes: Literal["repair", "stop"] = Field(
        "repair", description="inverted, empty or outside boxes: clip, drop and report, or stop"
    )
    exif: Literal["ignore", "apply"] = Field(
        "ignore", description="orientation tag; the annotations of ILSVRC, VOC and COCO ignore it"
    )
    train_positives: int = Field(
        0,
        ge=0,
        le=MANY,
        description="of ilsvrc's split train: at most so many images of each class that its list calls positive, "
        "drawn at random but always the same ([2] P, train_1k: 1000); 0: all images",
    )
    negative_lists: Literal["use", "ignore"] = Field(
        "use",
        description="use: negatives of a class come only from images in which ilsvrc's lists by class know every "
        "object of it; ignore: from all images",
    )

    @model_validator(mode="after")
    def _positives_are_listed(self) -> "DataSettings":
        if self.train_positives:
            split = chosen_module(FORMATS, self.format).FORMAT.listed_by_class
            if split not in self.train:
                wanted = (
                    f"0 without the split {split}"
                    if split
                    else f"0 for format {self.format}, which has no lists by class"
                )
                raise ValueError(f"train_positives must be {wanted}, got {self.train_positives}")
        return self


class MultiBoxInference(Section):
    """From MultiBox's slots to the proposals of an image. [5]: Szegedy et al., arXiv 1412.1441."""

    scales: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field(
        (1, 2),
        min_length=1,
        max_length=8,
        description="the image, and overlapping windows of 1 / scale of its sides [5]",
    )
    edge: float = Field(
        0.05, ge=0, lt=0.5, description="boxes that come so near a window's edge inside the image are dropped [5]"
    )
    nms_iou: Fraction = Field(0.7, description="of two boxes that overlap more the less confident goes")


class MultiBoxProposals(MultiBoxInference):
    """Proposals of a trained MultiBox network."""

    weights: Path | None = Field(None, description="of train_multibox")
    boxes: int = Field(200, ge=1, le=REGIONS, description="the best of an image [1] section 8")


class ProposalSettings(Section):
    """Selective search (Uijlings et al., IJCV 2013) as [2] used it, with [1]'s doubled superpixels."""

    source: Annotated[str, Choice(PROPOSAL_METHODS)] = Field(
        DEFAULT_SOURCE,
        description="[2] selective_search; [1] union of it with MultiBox; given: a file of yours",
    )
    mode: Literal["fast", "quality"] = Field("fast", description="[2] S")
    ks: tuple[Annotated[float, Field(ge=1, le=SCALE)], ...] = Field(
        (), max_length=16, description="scales of the segmentation; (): those of the mode"
    )
    superpixel_scale: float = Field(
        2.0, ge=0.1, le=1000, description="factor on k and the minimum size; [1] section 8: 2; [2]: 1"
    )
    sigma: float = Field(0.8, ge=0, le=100, description="smoothing before segmentation, pixels [2] S")
    min_side: float = Field(
        20.0, ge=0, le=SIDE, description="smallest box side, pixels of the resized image [2] S"
    )
    width: int = Field(500, ge=0, le=SIDE, description="images are resized to this width first; 0: not [2] P")
    max_boxes: int = Field(0, ge=0, le=REGIONS, description="selective search's first so many of an image; 0: all")
    multibox: MultiBoxProposals = MultiBoxProposals()
    duplicate_iou: float = Field(
        0.9, gt=0, le=1, description="of the union: a box so near to a better one is left out"
    )
    given: Path | None = Field(None, description=".npz or COCO-style .json of proposals")

    @model_validator(mode="after")
    def _source_has_its_files(self) -> "ProposalSettings":
        if self.source == DEFAULT_SOURCE:
            return self
        for name, path in chosen_module(PROPOSAL_METHODS, self.source).METHOD.files(self).items():
            if path is None:
                raise ValueError(f"{name} must be a file for source {self.source}, got none")
        return self


class RegionTraining(TrainingSettings):
    """Training on regions."""

    steps: int = Field(0, ge=0, le=MANY)
    head_factor: float = Field(
        10.0, gt=0, le=SCALE, description="the new classifier's learning rate is so much higher [2] S"
    )
    bias_factor: float = Field(
        2.0, gt=0, le=SCALE, description="biases, but for those of batch norm, learn so much faster [2] S"
    )
    frozen_stages: int = Field(
        0,
        ge=0,
        le=5,
        description="first stages of the network that stay as they are; arXiv 1504.08083: what lies before 3a, 2",
    )
    step_size: int = Field(20_000, ge=1, le=MANY, description="steps; then the rate is divided by ten [2] S")
    mirror: bool = Field(True, description="at random [2] S")
    photometric: Fraction = Field(
        0.0, description="strength of brightness, contrast, saturation, hue changes; [2] has none"
    )
    zoom: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="of region.mode shared: images are scaled at random, from 1 - zoom to its inverse; arXiv "
        "1504.08083: from 480 to 1200 pixels",
    )
    class_balance: Fraction = Field(
        0.0, description="0: objects as frequent as in the data [2]; 1: as many of each class; between: n^(1 - x)"
    )


class PretrainSettings(RegionTraining):
    """Training on the objects' own boxes, before the regions ([6]: Ouyang et al., DeepID-Net, arXiv 1412.5661)."""

    steps: int = Field(0, ge=0, le=MANY, description="0: none")


class FinetuneSettings(RegionTraining):
    """Training of the region classifier."""

    steps: int = Field(50_000, ge=0, le=MANY, description="[2] P, ILSVRC; 0: the pretrained network, for SVMs")
    positives: int = Field(32, ge=1, le=BATCH, description="regions of a batch that hold an object [2] P")
    positive_iou: Fraction = Field(0.5, description="[2] P")
    near_background: Fraction = Field(
        0.0,
        description="share of the background that is drawn from regions near an object, of an IoU from 0.1 on; "
        "0: all is drawn from all regions alike [2]; 1: arXiv 1504.08083",
    )
    best: Literal["none", "loss", "accuracy"] = Field(
        "none", description="on `validation`, by which the weights to test are chosen; none: the last"
    )
    validation: tuple[str, ...] = Field(
        (), max_length=SPLITS, description="splits of data that are trained on by nothing else"
    )
    validation_regions: int = Field(
        2048, ge=1, le=REGIONS, description="drawn as for training, the same at each judgement"
    )
    validate_every: int = Field(1000, ge=1, le=MANY, description="steps")

    @property
    def judged_on(self) -> tuple[str, ...]:
        """The splits on which the weights to test are chosen, () where they are the last."""
        return self.validation if self.best != "none" and self.steps else ()

    @model_validator(mode="after")
    def _settings_fit(self) -> "FinetuneSettings":
        if self.positives > self.batch_size:
            raise ValueError(f"positives must be at most batch_size {self.batch_size}, got {self.positives}")
        if self.best != "none" and not self.validation:
            raise ValueError(f"validation must name a split for best {self.best}, got none")
        return self


class Config(Section):
    """The whole experiment."""

    name: RunName = "detector"
    seed: int = Field(0, ge=0, le=SEED)
    data: DataSettings = DataSettings()
    proposals: ProposalSettings = ProposalSettings()
    region: RegionSettings = RegionSettings()
    network: NetworkSettings = NetworkSettings()
    pretrain: PretrainSettings = PretrainSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    svm: SvmSettings = SvmSettings()
    boxes: BoxSettings = BoxSettings()
    cascade: CascadeSettings = CascadeSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    context: ContextSettings = ContextSettings()
    detect: DetectSettings = DetectSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    engine: EngineSettings = EngineSettings()
    log: LogSettings = LogSettings()

    @property
    def methods(self) -> tuple[Method, ...]:
        """The ways to score that the settings train, the most complete last; `detect.method` chooses one."""
        scores: list[ScoreKind] = ["softmax"] if self.finetune.steps or self.network.head == "synsets" else []
        scores += ["svm"] if self.svm.enabled else []
        boxes = (False, True) if self.boxes.enabled else (False,)
        return tuple(Method(each, with_boxes) for each in scores for with_boxes in boxes)

    @property
    def method(self) -> Method:
        """The models' own way to score, of those that were trained."""
        return self.methods[-1] if self.detect.method == "auto" else Method.named(self.detect.method)

    @property
    def learns(self) -> bool:
        """Whether anything is learned from regions of the training split."""
        trained = self.finetune.steps or self.svm.enabled or self.boxes.enabled
        return bool(trained or self.cascade.is_used or self.context.is_used)

    @property
    def joint_boxes(self) -> BoxSettings | None:
        """The settings of the box regressors that fine-tuning trains, None where it trains none."""
        return self.boxes if self.boxes.enabled and self.boxes.method == "joint" else None

    @property
    def reported(self) -> str:
        """What the detections are called that the run's report is about.

        They are those by `method`; of several models or views the average's, `ENSEMBLE`; or either rescored by
        context, `CONTEXT`.
        """
        if self.context.is_used:
            return CONTEXT
        return ENSEMBLE if self.ensemble.is_used else self.method.name

    @model_validator(mode="after")
    def _something_scores(self) -> "Config":
        methods = [method.name for method in self.methods]
        if not methods:
            raise ValueError(
                "svm.enabled must be true for finetune.steps 0 and no network.head=synsets, got false"
            )
        if self.detect.method not in ("auto", *methods):
            raise ValueError(f"detect.method must be one of {', '.join(methods)}, got {self.detect.method}")
        return self

    @model_validator(mode="after")
    def _classifier_is_fitted_to_something(self) -> "Config":
        if self.network.head == "fitted" and not (self.network.weights or self.pretrain.steps):
            raise ValueError("network.head must be random without network.weights and pretrain.steps, got fitted")
        return self

    @model_validator(mode="after")
    def _sums_are_of_pretrained_classes(self) -> "Config":
        if self.network.head != "synsets":
            return self
        if not self.network.weights:
            raise ValueError("network.weights must be of ImageNet's classes for network.head synsets, got none")
        if self.pretrain.steps:
            raise ValueError(f"pretrain.steps must be 0 for network.head synsets, got {self.pretrain.steps}")
        if self.region.wide_padding:
            wide = self.region.wide_padding
            raise ValueError(f"region.wide_padding must be 0 for network.head synsets, got {wide}")
        return self

    @model_validator(mode="after")
    def _zoomed_images_are_shared(self) -> "Config":
        for name, settings in (("pretrain", self.pretrain), ("finetune", self.finetune)):
            if settings.zoom and self.region.mode != "shared":
                raise ValueError(f"{name}.zoom must be 0 for region.mode {self.region.mode}, got {settings.zoom}")
        return self

    @model_validator(mode="after")
    def _cascade_has_a_map(self) -> "Config":
        if self.cascade.sees == "map" and (self.region.mode != "shared" or self.cascade.weights):
            wanted = "region.mode shared without cascade.weights"
            raise ValueError(f"cascade.sees must be auto or crops but for {wanted}, got map")
        return self

    @model_validator(mode="after")
    def _boxes_are_trained(self) -> "Config":
        if self.joint_boxes and not self.finetune.steps:
            raise ValueError("boxes.method must be ridge for finetune.steps 0, got joint")
        return self

    @model_validator(mode="after")
    def _suppression_suits_the_scores(self) -> "Config":
        if self.detect.nms == "greedy":
            return self
        if self.svm.enabled:
            raise ValueError(
                f"detect.nms must be greedy for SVMs, whose scores may be negative, got {self.detect.nms}"
            )
        if not self.detect.min_score:
            raise ValueError(f"detect.min_score must be above 0 for detect.nms {self.detect.nms}, got 0")
        return self

    @model_validator(mode="after")
    def _weights_are_of_probabilities(self) -> "Config":
        if self.ensemble.fit_weights and self.method.by_svm:
            raise ValueError(
                f"ensemble.fit_weights must be () for SVMs, whose scores are no probabilities, got "
                f"{', '.join(self.ensemble.fit_weights)}"
            )
        return self

    @model_validator(mode="after")
    def _context_has_a_network(self) -> "Config":
        wanted = self.context.is_used and "imagenet" in self.context.image
        if wanted and not (self.context.weights or self.network.weights):
            raise ValueError("context.weights must be of a network with 1,000 classes for imagenet, got none")
        return self

    @model_validator(mode="after")
    def _explained_images_can_be_detected_in(self) -> "Config":
        source = self.proposals.source
        if self.evaluate.explain and chosen_module(PROPOSAL_METHODS, source).METHOD.from_pixels is None:
            raise ValueError(
                f"evaluate.explain must be 0 for proposals.source {source}, got {self.evaluate.explain}"
            )
        return self

    @model_validator(mode="after")
    def _images_share_a_batch(self) -> "Config":
        if self.region.mode == "warp":
            return self
        images = self.region.shared_images
        numbers = {
            "finetune.batch_size": self.finetune.batch_size,
            "finetune.positives": self.finetune.positives,
            "pretrain.batch_size": self.pretrain.batch_size,
        }
        for name, number in numbers.items():
            if number % images:
                raise ValueError(f"{name} must be a multiple of region.shared_images {images}, got {number}")
        return self

    @model_validator(mode="after")
    def _views_leave_a_region(self) -> "Config":
        for padding in self.ensemble.paddings:
            if 2 * padding >= self.region.crop_size:
                size = self.region.crop_size
                raise ValueError(f"ensemble.paddings must be under half of crop_size {size}, got {padding}")
            if 0 < self.region.wide_padding <= padding:
                wide = self.region.wide_padding
                raise ValueError(f"ensemble.paddings must be under region.wide_padding {wide}, got {padding}")
        return self
