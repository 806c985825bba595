"""GoogLeNet as a backbone: its maps of strides 2 to 32, for the detectors of any library. Needs torch alone.

Index i is the last map with one cell for 2 ** (i + 1) pixels: conv1, conv2, inception 3b, 4e and 5b.

Detectors hand over images that they normalised in their own way, commonly RGB by ImageNet's mean and deviation;
weights want what they were trained with. The difference is the backbone's first layer, `Renormalise`. Its buffers
are part of the state dict: loaded into a backbone that was made otherwise, without weights or for another host, a
state dict brings along the input that its weights were trained with, and the host it was made for.

Nothing else need be installed but for files that want it: safetensors for .safetensors, numpy for .npz.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, fx, nn

from detector.errors import ConfigError
from detector.networks.backbones.base import Variant, batch_norms
from detector.networks.backbones.googlenet import CHANNELS, MODULES, REDUCTION, STAGES, GoogLeNet
from detector.networks.preprocessing import IMAGENET, Preprocessing
from detector.networks.weight_files.sources import find_weights
from detector.networks.weight_files.weights import TRUNK, load_trunk
from detector.text import shown

LAST_MAPS = tuple(names[-1] for names in STAGES)  # of each stride


@dataclass(frozen=True)
class FeatureInfo:
    """What the maps are: `info` of all, of which `out_indices` are put out; timm's interface.

    `idx` is one index or several; None stands for `out_indices`.
    """

    info: tuple[dict[str, Any], ...]
    out_indices: tuple[int, ...]

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        """The value of `key` for one index, a list of them for several."""
        if isinstance(idx, int):
            return self.info[idx][key]
        return [self.info[i][key] for i in (self.out_indices if idx is None else idx)]

    def get_dicts(self, keys: Sequence[str] | None = None, idx: int | Sequence[int] | None = None) -> Any:
        """The entries of one index, a list of them for several, with all keys or `keys` alone."""
        if isinstance(idx, int):
            return {key: self.info[idx][key] for key in keys or self.info[idx]}
        return [self.get_dicts(keys, i) for i in (self.out_indices if idx is None else idx)]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        """Channels of the maps."""
        return self.get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        """Pixels of the image for one cell."""
        return self.get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        """Names of the modules that make the maps."""
        return self.get("module", idx)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.info[index]

    def __len__(self) -> int:
        return len(self.info)


@fx.wrap  # one step of a traced graph, which torch.ao's quantisation leaves in floats
def renormalise(images: Tensor, order: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Images (B, 3, H, W), their channels in `order` (3,), times scale plus shift (3, 1, 1) each."""
    return images[:, order] * scale + shift


class Renormalise(nn.Module):
    """Images (B, 3, H, W) normalised as `host` says, to what `network` says: changes nothing where they agree.

    One factor and one shift a channel and the order of the channels, all buffers that the state dict keeps.
    """

    order: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, host: Preprocessing, network: Preprocessing) -> None:
        super().__init__()
        order = [0, 1, 2] if host.channel_order == network.channel_order else [2, 1, 0]
        mean, scale = ([values[channel] for channel in order] for values in (host.mean, host.scale))
        factors = [own / wanted for own, wanted in zip(scale, network.scale, strict=True)]
        shifts = [(own - m) / s for own, m, s in zip(mean, network.mean, network.scale, strict=True)]
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("scale", torch.tensor(factors, dtype=torch.float32)[:, None, None])
        self.register_buffer("shift", torch.tensor(shifts, dtype=torch.float32)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) as the network wants them."""
        return renormalise(images, self.order, self.scale, self.shift)


class GoogLeNetFeatures(nn.Module):
    """Images (B, 3, H, W), at least 31x31, to a list of the maps at `out_indices`, in that order.

    `weights` is a file, or a name of `sources.SOURCES`; without, the network starts from its initialisation and
    takes images as the host normalises them. `host` is that normalisation; None where images come as the weights
    want them. The first `frozen_stages` strides (0 to 5) are not trained, and with `norm_eval` batch statistics
    stay as they are. Negative indices count from the end; the trunk ends with the last map asked for. ConfigError
    names an argument out of range, DataError weights that do not fit.
    """

    def __init__(
        self,
        variant: Variant = "paper",
        weights: Path | str | None = None,
        out_indices: Sequence[int] = (0, 1, 2, 3, 4),
        frozen_stages: int = 0,
        host: Preprocessing | None = IMAGENET,
        norm_eval: bool = False,
    ) -> None:
        super().__init__()
        frozen_stages = read_index("frozen_stages", frozen_stages, 0, len(STAGES))
        self.feature_info = describe_maps(out_indices)
        self.names = [LAST_MAPS[index] for index in self.feature_info.out_indices]
        self.norm_eval = norm_eval
        self.backbone = GoogLeNet(variant)
        wanted = None if weights is None else load_trunk(self.backbone, find_weights(Path(weights)))
        if host is None or wanted is None:
            host = wanted = IMAGENET  # any: nothing changes
        self.renormalise = Renormalise(host, wanted)
        end_after(self.backbone, max(self.feature_info.out_indices) + 1)
        self.backbone.freeze(frozen_stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps (B, C, h, w) of images (B, 3, H, W)."""
        return self.backbone.map_list(self.renormalise(images), self.names)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but what is frozen stays in eval mode."""
        super().train(mode)
        if self.norm_eval:
            for norm in batch_norms(self):
                norm.eval()
        return self

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether training saves memory by computing maps twice; see `GoogLeNet.checkpointing`."""
        self.backbone.checkpointing = enable


def describe_maps(out_indices: Sequence[int] = (0, 1, 2, 3, 4)) -> FeatureInfo:
    """The five maps of a model that calls its trunk `backbone`; ConfigError names an index that is none."""
    if not isinstance(out_indices, Iterable):
        raise ConfigError(f"out_indices must be a list of indices, got {shown(out_indices)}")
    count = len(LAST_MAPS)
    indices = [read_index("out_indices", index, -count, count - 1) for index in out_indices]
    if not indices:
        raise ConfigError(f"out_indices must be in {-count}..{count - 1}, got none")
    info = tuple(
        {
            "num_chs": CHANNELS[name],
            "reduction": REDUCTION[name],
            "module": TRUNK + MODULES[name],
            "index": index,
        }
        for index, name in enumerate(LAST_MAPS)
    )
    return FeatureInfo(info, tuple(index % count for index in indices))


def read_index(name: str, value: Any, low: int, high: int) -> int:
    """A whole number from outside, in low..high; ConfigError calls it `name`."""
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or not low <= found <= high:
        raise ConfigError(f"{name} must be in {low}..{high}, got {shown(value)}")
    return found


def end_after(network: GoogLeNet, stages: int) -> None:
    """Leave out what makes the maps behind those of the first `stages` strides, 1 to 5."""
    if stages == 1:
        for name in ("conv2_reduce", "conv2", "norm2"):
            setattr(network, name, nn.Identity())
    for names in STAGES[max(stages, 2) :]:
        for name in names:
            network.inception[name] = nn.Identity()
