"""Networks with 8-bit weights and maps: quantised after training, by the ranges that maps have on real crops.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(arXiv 1712.05877), sections 2.1 and 3: values are rounded to multiples of a step, weights to -127..127 steps, of
their own for each output channel, maps to 0..255, for what a ReLU leaves is not negative. torch computes with the
rounded values in floats; a runtime that knows the pattern, as OpenVINO does, computes convolutions in integers.

Which parts are rounded is a network's own to state (`BackboneFacts.rounded`). In floats stay the first
convolution, local response normalisation, whose squares have a range too wide for 255 steps, and all that follows
the last map: the averages, the classifier and the heads.

Differs from the paper: no training with rounding; a range is a map's largest value in a sample of crops, not a
moving average.
"""

import copy
import json
from collections.abc import Callable, Collection
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import register_parametrization

from detector.errors import DataError
from detector.files import read_json, write_text
from detector.networks.backbones import check_rounded
from detector.networks.backbones.base import Backbone
from detector.networks.region_classifier import Ranges, RegionClassifier
from detector.networks.weight_files.safetensors_files import state_hash
from detector.text import shown

MAP_STEPS = 255  # from 0 to the range
WEIGHT_STEPS = 127  # on either side of 0
SMALLEST = 1e-6  # range of weights that are all 0
SUFFIX = ".int8.json"
WHAT = "ranges of maps"  # in messages
LARGEST = 1e30  # range

Hook = Callable[[nn.Module, tuple[Tensor]], Tensor | None]  # before a module runs: its input, changed or not


class MapPeaks(nn.Module):
    """Crops of regions to `peaks` (B, R) f32, the largest values of the inputs of the R parts that are rounded.

    What is given maps in place of crops, and so does not use all parts, has 0 for the others. ConfigError for a
    network without such parts.
    """

    def __init__(self, network: RegionClassifier) -> None:
        super().__init__()
        check_rounded(network.backbone.variant)
        self.network = network

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """The peaks; of a region that is seen by several crops the largest of them."""
        seen: dict[str, Tensor] = {}
        trunk, rounded = self.network.backbone, self.network.backbone.facts.rounded
        # for this pass alone: hooks would not be copied with the module
        hooks = [trunk.get_submodule(name).register_forward_pre_hook(_noting(seen, name)) for name in rounded]
        self.network.last_map(crops)
        for hook in hooks:
            hook.remove()
        none = torch.zeros_like(seen[rounded[-1]])
        peaks = torch.stack([seen.get(name, none) for name in rounded], 1).float()
        return {"peaks": peaks.unflatten(0, (-1, self.network.crops)).amax(1)}


def ranges_of(backbone: Backbone, peaks: Tensor) -> Ranges:
    """The range of each rounded map: the largest of its `MapPeaks` (N, R), N > 0; none of what is 0 all over."""
    rounded = backbone.facts.rounded
    return {name: peak for name, peak in zip(rounded, peaks.amax(0).tolist(), strict=True) if peak > 0}


@torch.inference_mode()
def measure_ranges(network: RegionClassifier, crops: Tensor) -> Ranges:
    """The ranges of the maps of `network` on crops (N, 3 K, S, S) of N > 0 regions; it stays as it is."""
    return ranges_of(network.backbone, MapPeaks(copy.deepcopy(network).eval())(crops)["peaks"])


def quantise(network: RegionClassifier, ranges: Ranges) -> None:
    """Make `network`, in eval mode, round its weights and maps from now on; batch norm goes into the weights."""
    trunk = network.backbone
    check_rounded(trunk.variant)
    for module in list(trunk.modules()):
        conv, norm = getattr(module, "conv", None), getattr(module, "norm", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, _BatchNorm):
            module.conv, module.norm = fuse_conv_bn_eval(conv, norm), nn.Identity()
    parts = [part for name in trunk.facts.rounded for part in trunk.get_submodule(name).modules()]
    for part in dict.fromkeys(parts):
        if isinstance(part, nn.Conv2d):
            register_parametrization(part, "weight", RoundedWeight(part.weight))
    for name, high in ranges.items():
        trunk.get_submodule(name).register_forward_pre_hook(_rounding(high))


def round_map(x: Tensor, high: float) -> Tensor:
    """x rounded to multiples of a 255th of `high`, what is below 0 to 0, and what is above `high` to it."""
    return torch.fake_quantize_per_tensor_affine(x, high / MAP_STEPS, 0, 0, MAP_STEPS)


class RoundedWeight(nn.Module):
    """Rounds the weights of a convolution, by a step for each output channel."""

    step: Tensor
    zero: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("step", weight.detach().abs().amax((1, 2, 3)).clamp(min=SMALLEST) / WEIGHT_STEPS)
        self.register_buffer("zero", torch.zeros(len(weight), dtype=torch.int32, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight (out, in, ky, kx), rounded."""
        steps = WEIGHT_STEPS
        return torch.fake_quantize_per_channel_affine(weight, self.step, self.zero, 0, -steps, steps)


def _noting(seen: dict[str, Tensor], name: str) -> Hook:
    """What keeps the largest values (B,) of a module's input under `name`."""

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        seen[name] = inputs[0].amax((1, 2, 3))

    return note


def _rounding(high: float) -> Hook:
    """What rounds a module's input."""
    return lambda module, inputs: round_map(inputs[0], high)


def ranges_path(weights: Path) -> Path:
    """The file of ranges beside a file of weights."""
    return weights.with_suffix(SUFFIX)


def save_ranges(weights: Path, network: RegionClassifier) -> Path:
    """Write the ranges of `network` beside the file of its weights, where `load_ranges` reads them; their path."""
    path = ranges_path(weights)
    facts = {"network": state_hash(network.state_dict()), "ranges": network.ranges}
    write_text(path, json.dumps(facts, indent=1) + "\n")
    return path


def load_ranges(weights: Path, network: RegionClassifier) -> Ranges | None:
    """The ranges beside a file of weights; None where there are none, or those of other weights.

    DataError for a file that is not as `save_ranges` writes it.
    """
    path = ranges_path(weights)
    if not path.exists():
        return None
    facts = read_json(path, WHAT)
    if not isinstance(facts, dict) or not isinstance(facts.get("ranges"), dict):
        raise DataError(f"{WHAT} must be an object of network and ranges, got {shown(facts)} ({path})")
    rounded = network.backbone.facts.rounded
    ranges = {name: _checked_range(name, high, rounded, path) for name, high in facts["ranges"].items()}
    return ranges if facts.get("network") == state_hash(network.state_dict()) else None


def _checked_range(name: str, high: object, rounded: Collection[str], path: Path) -> float:
    if name not in rounded:
        raise DataError(f"{WHAT} must be of parts of the network, got {shown(name)} ({path})")
    if isinstance(high, bool) or not isinstance(high, int | float) or not 0 < high <= LARGEST:
        raise DataError(
            f"range of {name} must be a number above 0 and at most {LARGEST:g}, got {shown(high)} ({path})"
        )
    return float(high)
