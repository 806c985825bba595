"""The models that score regions: from the files of trained detectors to members of an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.config import DetectSettings, EngineSettings, EnsembleSettings, Method, RegionSettings
from detector.data.classes import ClassList
from detector.errors import DataError
from detector.files import file_hash
from detector.inference.engine import ImageScorer
from detector.inference.ensemble import EnsembleEngine, Model
from detector.inference.iterate import IteratedScorer
from detector.inference.select import select
from detector.networks.heads import BoxHead, ObjectnessHead, SvmHead, load_boxes, load_svm
from detector.networks.member import Member
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.weights import load_model, weights_header
from detector.records import FIRST_LABEL


@dataclass(frozen=True)
class ModelFiles:
    """The files of a trained detector: the network, and the heads on its features where there are any."""

    network: Path
    svm: Path | None = None
    boxes: Path | None = None

    @property
    def reads(self) -> dict[str, Path]:
        """The files by what they are."""
        files = {"network": self.network, "svm": self.svm, "boxes": self.boxes}
        return {name: path for name, path in files.items() if path}

    def by(self, method: Method) -> "ModelFiles":
        """The part that scores by `method`."""
        return ModelFiles(self.network, self.svm if method.by_svm else None, self.boxes if method.boxes else None)


@dataclass(frozen=True)
class CascadeFiles:
    """The file that a run's stage `cascade` wrote, and that of the network whose map it may look at."""

    cascade: Path
    network: Path


@dataclass(frozen=True)
class View:
    """One way to see a region: by model `detector`, with its own context or another, mirrored or not."""

    detector: int
    is_own: bool
    mirrored: bool


@dataclass(frozen=True)
class LoadedModel:
    """A detector's network and heads, and the regions that it was trained on."""

    network: RegionClassifier
    preprocessing: Preprocessing
    region: RegionSettings
    classes: list[str]
    svm: SvmHead | None = None
    boxes: BoxHead | None = None

    def model(self, region: RegionSettings, mirrored: bool, weight: float) -> Model:
        """The member for a view; box regressors know the regions they were trained on alone."""
        boxes = self.boxes if region == self.region else None
        return Model(Member(self.network, self.svm, boxes, mirrored), self.preprocessing, region, weight)


Detector = ModelFiles | LoadedModel


def load_models(detectors: Sequence[Detector], settings: EnsembleSettings) -> list[tuple[View, Model]]:
    """All views with their models: by detector, of each the paddings, of each plain and then mirrored.

    The views of a detector share its weight. DataError for wrong files, and for weights that are not one a model.
    """
    count = len(detectors)
    check_weights(settings, count)
    weights = settings.weights or (1.0,) * count
    sides = (False, True) if settings.mirror else (False,)
    found: list[tuple[View, Model]] = []
    classes: list[str] = []
    for number, (each, weight) in enumerate(zip(detectors, weights, strict=True)):
        loaded = _load(each) if isinstance(each, ModelFiles) else each
        classes = classes or loaded.classes
        if loaded.classes != classes:
            where = loaded.network.file
            raise DataError(f"models of an ensemble must know the same classes, got others ({where})")
        wider = [loaded.region.model_copy(update={"padding": padding}) for padding in settings.paddings]
        regions = [loaded.region, *(region for region in wider if region != loaded.region)]
        share = weight / (len(regions) * len(sides))
        for region in regions:
            for side in sides:
                view = View(number, region == loaded.region, side)
                found.append((view, loaded.model(region, side, share)))
    return found


def open_scorer(
    models: Sequence[Detector], ensemble: EnsembleSettings, engine: EngineSettings, detect: DetectSettings
) -> ImageScorer:
    """What scores regions by the models, averaged as `ensemble` says, as often as `detect.iterations` says."""
    scorer = EnsembleEngine([model for _, model in load_models(models, ensemble)], engine)
    if not detect.iterations:
        return scorer
    settings = detect.model_copy(update={"max_per_image": detect.iterated, "voting_iou": 0.0})
    lowest = detect.lowest_score(by_svm=models[0].svm is not None)
    return IteratedScorer(scorer, settings.iterations, lambda found: select(found, lowest, settings))


def check_weights(settings: EnsembleSettings, models: int) -> None:
    """Raise DataError unless the weights, where there are any, are one a model."""
    if len(settings.weights) not in (0, models):
        raise DataError(f"ensemble.weights must be one a model, {models} of them, got {len(settings.weights)}")


def trained_classes(path: Path) -> ClassList:
    """The classes of labels 1..C that a region classifier's file states; DataError where it does not."""
    header = weights_header(path)
    return _stated_classes(header.outputs, ModelFacts.of(header.metadata, path), path)


def trained_region(path: Path) -> RegionSettings:
    """The regions that a region classifier's file states it was trained on, by default R-CNN's."""
    return ModelFacts.of(weights_header(path).metadata, path).region


def _load(files: ModelFiles) -> LoadedModel:
    network, preprocessing, metadata = load_model(files.network)
    facts = ModelFacts.of(metadata, files.network)
    classes = list(_stated_classes(network.classifier.out_features, facts, files.network).names)
    if len(facts.region.paddings) != network.crops:
        wanted, got = network.crops, len(facts.region.paddings)
        raise DataError(
            f"region must be seen by {wanted} crops, as the classifier is, got {got} ({files.network})"
        )
    svm = load_svm(files.svm) if files.svm else None
    boxes = load_boxes(files.boxes) if files.boxes else None
    for head, path in ((svm, files.svm), (boxes, files.boxes)):
        _check_head(head, path, len(classes), files.network)
    if svm is not None and svm.weight.shape[1] != network.width:
        raise DataError(f"head must be of {network.width} features, got {svm.weight.shape[1]} ({files.svm})")
    channels = network.backbone.facts.channels
    if boxes is not None and boxes.channels != channels:
        raise DataError(f"head must be of maps of {channels} channels, got {boxes.channels} ({files.boxes})")
    return LoadedModel(network, preprocessing, facts.region, classes, svm, boxes)


def _check_head(head: SvmHead | BoxHead | None, path: Path | None, classes: int, network: Path) -> None:
    """Raise DataError for a head of other classes or of another network, whose features mean other things."""
    if head is None:
        return
    if len(head.weight) != classes:
        raise DataError(f"head must be of {classes} classes, got {len(head.weight)} ({path})")
    check_model(head, path, network)


def check_model(head: SvmHead | BoxHead | ObjectnessHead, path: Path | None, network: Path) -> None:
    """Raise DataError for the head in `path` where it was trained on another network."""
    if head.model and head.model != file_hash(network):
        raise DataError(f"head must be trained on {network}, got that of another network ({path})")


def _stated_classes(outputs: int, facts: ModelFacts, path: Path) -> ClassList:
    """The classes that a weight file states for all its outputs but the background."""
    if facts.classes is None or len(facts.classes) + FIRST_LABEL != outputs:
        raise DataError(f"weights must name the classes of a region classifier of train_det, got others ({path})")
    return facts.classes
