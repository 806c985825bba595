"""Weight files of every family, read under this project's names; written as safetensors with all a model needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detector.choices import BACKBONES
from detector.errors import ConfigError, DataError
from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.backbones import backbone_facts, make_backbone, recognise
from detector.networks.backbones.base import Backbone, Family, Variant
from detector.networks.preprocessing import Preprocessing
from detector.networks.quantized import load_ranges
from detector.networks.region_classifier import RegionClassifier
from detector.networks.summed_classifier import SummedClassifier
from detector.networks.weight_files.caffemodel import read_caffemodel
from detector.networks.weight_files.npz_files import read_npz
from detector.networks.weight_files.safetensors_files import read_header, read_tensors, write_tensors
from detector.networks.weight_files.states import BATCHES, checked_state
from detector.networks.weight_files.torch_files import load_torch
from detector.text import shown

TRUNK = "backbone."  # what its layers are called in a whole network
HEADS = "heads."
CLASSIFIER = "classifier."
CLASS_WEIGHTS = ("classifier.weight", "classifier.linear.weight")  # of one that sums classes the second
GROUPS = "groups"  # of such a classifier's classes, what the header calls them
FIRST_CONVOLUTION = "backbone.conv1.conv.weight"


@dataclass(frozen=True)
class Weights:
    """What a weight file holds: `state` by our names, auxiliary heads under "heads.", and what goes with it."""

    state: dict[str, Tensor]
    variant: Variant
    preprocessing: Preprocessing
    path: Path
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """The number of classes of the classifier; DataError where there is none, or of other features."""
        return max(self.groups) + 1 if self.groups else len(self.classifier())

    @property
    def crops(self) -> int:
        """Of how many crops of a region the classifier joins the features; DataError as for `outputs`."""
        return self.classifier().shape[1] // backbone_facts(self.variant).width

    @property
    def groups(self) -> tuple[int, ...]:
        """To which output each class counts where these are sums, else (); DataError as for `outputs`."""
        return _stated_groups(self.metadata, len(self.classifier()), self.path)

    def network(self) -> dict[str, Tensor]:
        """The state without the auxiliary heads."""
        return {key: value for key, value in self.state.items() if not key.startswith(HEADS)}

    def heads(self) -> dict[str, Tensor]:
        """The state of the auxiliary heads; empty where the file has none."""
        return {key.removeprefix(HEADS): self.state[key] for key in self.state if key.startswith(HEADS)}

    def in_rgb(self) -> "Weights":
        """The same function of RGB images: where the network wants BGR, its first convolution is turned round."""
        if self.preprocessing.channel_order == "RGB":
            return self
        state = self.state | {FIRST_CONVOLUTION: self._tensor(FIRST_CONVOLUTION).flip(1)}
        turned = Preprocessing("RGB", self.preprocessing.mean[::-1], self.preprocessing.scale[::-1])
        return Weights(state, self.variant, turned, self.path, self.metadata)

    def classifier(self) -> Tensor:
        """The classifier's weights (outputs, features); DataError as for `outputs`."""
        key, width = CLASS_WEIGHTS[GROUPS in self.metadata], backbone_facts(self.variant).width
        weight = self._tensor(key)
        if weight.ndim != 2 or not weight.numel() or weight.shape[1] % width:
            wanted, got = f"(outputs, {width} a crop)", tuple(weight.shape)
            raise DataError(f"weights of {key} must have shape {wanted}, got {got} ({self.path})")
        return weight

    def _tensor(self, key: str) -> Tensor:
        if key not in self.state:
            raise DataError(f"weights must hold {key}, got a file without it ({self.path})")
        return self.state[key]


@dataclass(frozen=True)
class Header:
    """What a weight file states of its network: `outputs` and `width`, features, are its classifier's, or 0.

    `groups` are as those of `Weights`.
    """

    variant: Variant
    outputs: int
    width: int
    groups: tuple[int, ...]
    metadata: dict[str, Any]


def read_weights(path: Path) -> Weights:
    """The weights of `path`: BVLC's .caffemodel or .npz, torchvision's .pth, or our .safetensors.

    DataError where the file cannot be read or holds layers of no network that is known.
    """
    match path.suffix:
        case ".caffemodel":
            return _renamed(read_caffemodel(path), "Caffe", path)
        case ".npz":
            return _renamed(read_npz(path), "Caffe", path)
        case ".pth" | ".pt":
            return _renamed(load_torch(path, "weights"), "torchvision", path)
        case ".safetensors":
            return _read_safetensors(path)
    raise DataError(f"weights must be a .caffemodel, .npz, .pth or .safetensors file, got {path}")


def weights_header(path: Path) -> Header:
    """The facts of a weight file; of our own without its tensors, so without telling whether they are damaged."""
    if path.suffix == ".safetensors":
        shapes, metadata = read_header(path)
        variant, shape = _stated_variant(metadata, path), shapes.get(CLASS_WEIGHTS[GROUPS in metadata], ())
    else:
        weights = read_weights(path)
        variant, shape, metadata = weights.variant, tuple(weights.classifier().shape), {}
    outputs, width = shape if len(shape) == 2 else (0, 0)
    groups = _stated_groups(metadata, outputs, path)
    return Header(variant, max(groups) + 1 if groups else outputs, width, groups, metadata)


def load_pretrained(network: RegionClassifier, path: Path, classes: Sequence[str] | None = None) -> Preprocessing:
    """Load the weights of `path` into `network`, without auxiliary heads; return their preprocessing.

    A classifier with another number of outputs, or of other classes than `classes` where the file names its own,
    keeps its initial weights: that is fine-tuning. DataError names the layer that is missing or of another shape.
    """
    weights = read_weights(path)
    _check_variant(weights, network.backbone.variant)
    own = network.state_dict()
    state = weights.network()
    stated = weights.metadata.get("classes")
    are_others = classes is not None and stated is not None and stated != list(classes)
    theirs, ours = ({key: each[key] for key in each if key.startswith(CLASSIFIER)} for each in (state, own))
    if are_others or (theirs.keys() & set(CLASS_WEIGHTS) and _shapes(theirs) != _shapes(ours)):
        state = {key: state[key] for key in state.keys() - theirs.keys()} | ours
    load_state(network, state, path)
    return weights.preprocessing


def load_trunk(network: Backbone, path: Path) -> Preprocessing:
    """Load the trunk of the weights of `path` into `network`, without classifiers; return their preprocessing.

    DataError names the layer that is missing or of another shape.
    """
    weights = read_weights(path)
    _check_variant(weights, network.variant)
    state = {key.removeprefix(TRUNK): value for key, value in weights.state.items() if key.startswith(TRUNK)}
    load_state(network, state, path)
    return weights.preprocessing


def load_summed(network: RegionClassifier, path: Path, groups: Sequence[int]) -> Preprocessing:
    """Load the weights of `path` into `network`, their classes summed by `groups` (K); return their preprocessing.

    DataError where their classifier is not one of K classes of one crop, and as for `load_trunk`.
    """
    weights = read_weights(path)
    _check_variant(weights, network.backbone.variant)
    network.sum_classes(groups)
    plain, summed = (name.removesuffix("weight") for name in CLASS_WEIGHTS)
    load_state(network, {key.replace(plain, summed): value for key, value in weights.network().items()}, path)
    return weights.preprocessing


def load_heads(network: WithAuxiliaryHeads, path: Path) -> bool:
    """Load the auxiliary heads of `path`; False where it has none for this number of classes."""
    heads = read_weights(path).heads()
    own = network.heads.state_dict()
    if any(heads[key].shape != own[key].shape for key in heads.keys() & own.keys() if "classifier" in key):
        return False
    if heads:
        load_state(network.heads, heads, path)
    return bool(heads)


def load_model(path: Path) -> tuple[RegionClassifier, Preprocessing, dict[str, Any]]:
    """The network of a weight file of any family, in eval mode, its preprocessing, and the file's metadata.

    With the ranges of its maps, where `save_ranges` wrote them beside the file.
    """
    weights = read_weights(path)
    outputs, stated = weights.outputs, weights.metadata.get("outputs", weights.outputs)
    if stated != outputs or isinstance(stated, bool):
        raise DataError(f"outputs must be those of the classifier, {outputs}, got {shown(stated)} ({path})")
    network = RegionClassifier(make_backbone(weights.variant), outputs, crops=weights.crops)
    if weights.groups:
        network.sum_classes(weights.groups)
    load_state(network, weights.network(), path)
    network.ranges, network.file = load_ranges(path, network), str(path)
    return network.eval(), weights.preprocessing, weights.metadata


def open_trunk(path: Path, outputs: int, crops: int = 1) -> tuple[RegionClassifier, Preprocessing]:
    """The trunk of the network in a file, in eval mode, under a new classifier of regions of so many crops."""
    whole, preprocessing, _ = load_model(path)
    return RegionClassifier(whole.backbone, outputs, crops=crops).eval(), preprocessing


def load_state(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load `state` into `network`; DataError names the first layer that is missing or misshapen.

    A network on torch's meta device, which has no memory, takes the tensors of `state` for its own.
    """
    own = network.state_dict()
    on_meta = any(value.is_meta for value in own.values())
    counters = {key: torch.tensor(0) if on_meta else own[key] for key in own if key.endswith(BATCHES)}
    given = counters | dict(state)
    for key, value in own.items():
        if key not in given:
            raise DataError(f"weights must hold {key}, got a file without it ({path})")
        if given[key].shape != value.shape:
            wanted, got = tuple(value.shape), tuple(given[key].shape)
            raise DataError(f"weights of {key} must have shape {wanted}, got {got} ({path})")
    unknown = sorted(set(given) - set(own))
    if unknown:
        raise DataError(f"weights must hold the network's layers only, got {unknown[0]} ({path})")
    network.load_state_dict(given, assign=on_meta)


def save_model(path: Path, network: RegionClassifier, preprocessing: Preprocessing, **metadata: Any) -> None:
    """Write `network` as safetensors, its header stating variant, outputs, preprocessing, hash and `metadata`."""
    facts: dict[str, Any] = {"outputs": network.classifier.out_features, **metadata}
    if isinstance(network.classifier, SummedClassifier):
        facts[GROUPS] = list(network.classifier.groups)
    save_network(path, network, network.backbone.variant, preprocessing, **facts)


def save_network(
    path: Path, network: nn.Module, variant: Variant, preprocessing: Preprocessing, **metadata: Any
) -> None:
    """Write any network on a trunk of `variant` as safetensors, with its hash and `metadata` (JSON values)."""
    facts = {"variant": variant, "preprocessing": preprocessing.to_dict(), **metadata}
    write_tensors(path, network.state_dict(), facts)


def _check_variant(weights: Weights, variant: Variant) -> None:
    if weights.variant != variant:
        raise DataError(
            f"weights must be of the variant {variant}, got those of {weights.variant} ({weights.path});"
            f" network.variant={weights.variant} takes them"
        )


def _renamed(given: object, family: Family, path: Path) -> Weights:
    """What a file brought, its layers called by our names: those of the network that `family` has them for."""
    checked = checked_state(given, path)
    variant = recognise(family, checked)
    facts = backbone_facts(variant)
    state = {}
    for theirs, value in checked.items():
        ours = facts.our_name(family, theirs)
        if ours is None:
            raise DataError(f"weights must hold the {family} layers of {facts.title}, got {theirs} ({path})")
        state[ours] = value
    return Weights(state, variant, facts.preprocessing, path)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in state.items()}


def _stated_groups(metadata: Mapping[str, Any], classes: int, path: Path) -> tuple[int, ...]:
    groups = metadata.get(GROUPS, [])
    if GROUPS not in metadata:
        return ()
    are_whole = isinstance(groups, list) and all(type(group) is int for group in groups)
    if not are_whole or len(groups) != classes or set(groups) != set(range(len(set(groups)))):
        wanted = f"numbers from 0 on, one for each of {classes} classes and none left out"
        raise DataError(f"groups of weights must be {wanted}, got {shown(groups)} ({path})")
    return tuple(groups)


def _stated_variant(metadata: Mapping[str, Any], path: Path) -> Variant:
    variant = metadata.get("variant")
    if not isinstance(variant, str) or variant not in BACKBONES:
        raise DataError(f"weights must be of a variant in {', '.join(BACKBONES)}, got {shown(variant)} ({path})")
    return variant


def _read_safetensors(path: Path) -> Weights:
    state, metadata = read_tensors(path)
    missing = {"variant", "preprocessing"} - metadata.keys()
    if missing:
        raise DataError(f"weights must state {min(missing)} in their metadata, got none ({path})")
    variant = _stated_variant(metadata, path)
    try:
        preprocessing = Preprocessing.from_dict(metadata["preprocessing"])
    except ConfigError as error:
        raise DataError(f"preprocessing of weights: {error} ({path})") from None
    return Weights(checked_state(state, path), variant, preprocessing, path, metadata)
