"""Weight files of every family, read under this project's names; written as safetensors with all a model needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detector.errors import ConfigError, DataError
from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.backbones.googlenet import DESIGNS, FEATURES, GoogLeNet, Variant
from detector.networks.preprocessing import BVLC, IMAGENET, TORCHVISION, Preprocessing
from detector.networks.quantized import load_ranges
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.caffemodel import read_caffemodel
from detector.networks.weight_files.layer_names import BVLC_LAYERS, TORCHVISION_LAYERS
from detector.networks.weight_files.npz_files import read_npz
from detector.networks.weight_files.safetensors_files import read_tensors, write_tensors
from detector.networks.weight_files.states import BATCHES, checked_state
from detector.networks.weight_files.torch_files import load_torch
from detector.text import shown

TRUNK = "backbone."  # what its layers are called in a whole network
HEADS = "heads."
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
        return len(self._classifier())

    @property
    def crops(self) -> int:
        """Of how many crops of a region the classifier joins the features; DataError as for `outputs`."""
        return self._classifier().shape[1] // FEATURES

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

    def _classifier(self) -> Tensor:
        weight = self._tensor("classifier.weight")
        if weight.ndim != 2 or not weight.numel() or weight.shape[1] % FEATURES:
            wanted, got = f"(outputs, {FEATURES} a crop)", tuple(weight.shape)
            raise DataError(f"weights of classifier.weight must have shape {wanted}, got {got} ({self.path})")
        return weight

    def _tensor(self, key: str) -> Tensor:
        if key not in self.state:
            raise DataError(f"weights must hold {key}, got a file without it ({self.path})")
        return self.state[key]


def preprocessing_of(variant: Variant) -> Preprocessing:
    """The input that `variant` is trained with from scratch; pretrained weights bring their own."""
    return {"paper": BVLC, "paper_bn": IMAGENET, "torchvision": TORCHVISION}[variant]


def read_weights(path: Path) -> Weights:
    """The weights of `path`: BVLC's .caffemodel or .npz, torchvision's .pth, or our .safetensors.

    DataError where the file cannot be read or holds layers that are not GoogLeNet's.
    """
    match path.suffix:
        case ".caffemodel":
            return Weights(_renamed(read_caffemodel(path), BVLC_LAYERS, "Caffe", path), "paper", BVLC, path)
        case ".npz":
            return Weights(_renamed(read_npz(path), BVLC_LAYERS, "Caffe", path), "paper", BVLC, path)
        case ".pth" | ".pt":
            state = _renamed(load_torch(path, "weights"), TORCHVISION_LAYERS, "torchvision", path)
            return Weights(state, "torchvision", TORCHVISION, path)
        case ".safetensors":
            return _read_safetensors(path)
    raise DataError(f"weights must be a .caffemodel, .npz, .pth or .safetensors file, got {path}")


def load_pretrained(network: RegionClassifier, path: Path) -> Preprocessing:
    """Load the weights of `path` into `network`, without auxiliary heads; return their preprocessing.

    A classifier with another number of outputs keeps its initial weights: that is fine-tuning. DataError names
    the layer that is missing or of another shape.
    """
    weights = read_weights(path)
    _check_variant(weights, network.backbone.variant)
    own = network.state_dict()
    state = weights.network()
    if state.get("classifier.weight", own["classifier.weight"]).shape != own["classifier.weight"].shape:
        state |= {key: own[key] for key in ("classifier.weight", "classifier.bias")}
    load_state(network, state, path)
    return weights.preprocessing


def load_trunk(network: GoogLeNet, path: Path) -> Preprocessing:
    """Load the trunk of the weights of `path` into `network`, without classifiers; return their preprocessing.

    DataError names the layer that is missing or of another shape.
    """
    weights = read_weights(path)
    _check_variant(weights, network.variant)
    state = {key.removeprefix(TRUNK): value for key, value in weights.state.items() if key.startswith(TRUNK)}
    load_state(network, state, path)
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
    network = RegionClassifier(weights.variant, outputs, crops=weights.crops)
    load_state(network, weights.network(), path)
    network.ranges, network.file = load_ranges(path, network), str(path)
    return network.eval(), weights.preprocessing, weights.metadata


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
    outputs = network.classifier.out_features
    save_network(path, network, network.backbone.variant, preprocessing, outputs=outputs, **metadata)


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


def _renamed(given: object, layers: Mapping[str, str], family: str, path: Path) -> dict[str, Tensor]:
    """The state that a file brought with its layers called by our names; `layers` maps theirs to ours."""
    state = {}
    for key, value in checked_state(given, path).items():
        layer, _, kind = key.rpartition(".")
        if layer not in layers:
            raise DataError(f"weights must hold GoogLeNet's {family} layers, got {key} ({path})")
        state[f"{layers[layer]}.{kind}"] = value
    return state


def _read_safetensors(path: Path) -> Weights:
    state, metadata = read_tensors(path)
    missing = {"variant", "preprocessing"} - metadata.keys()
    if missing:
        raise DataError(f"weights must state {min(missing)} in their metadata, got none ({path})")
    variant = metadata["variant"]
    if not isinstance(variant, str) or variant not in DESIGNS:
        raise DataError(f"weights must be of a variant in {', '.join(DESIGNS)}, got {shown(variant)} ({path})")
    try:
        preprocessing = Preprocessing.from_dict(metadata["preprocessing"])
    except ConfigError as error:
        raise DataError(f"preprocessing of weights: {error} ({path})") from None
    return Weights(checked_state(state, path), variant, preprocessing, path, metadata)
