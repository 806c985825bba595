"""Importing this module makes GoogLeNet known to timm.

`googlenet_paper`, `googlenet_paper_bn` and `googlenet_torchvision` are models for `timm.create_model`, whose state
dicts have the names of `RegionClassifier`. Weights come in as files,

    timm.create_model("googlenet_paper", pretrained=True, pretrained_cfg_overlay=dict(file="bvlc_googlenet.npz"))

of any family that `read_weights` knows; without a file, `pretrained=True` fetches the published ones. They are
turned into weights for RGB images as they are loaded, and `pretrained_cfg` gets the mean and deviation they were
trained with, so that `timm.data` prepares images exactly. A state dict knows nothing of that: loaded by hand, one
of a network that takes BGR images takes BGR images here.
"""

from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from detector.errors import ConfigError, DataError
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import FACTS, FEATURES, STAGES, TABLE_1, GoogLeNet, initialise
from detector.networks.features import LAST_MAPS, describe_maps, end_after
from detector.networks.preprocessing import Preprocessing
from detector.networks.weight_files.sources import SOURCES, find_weights
from detector.networks.weight_files.weights import CLASSIFIER, FIRST_CONVOLUTION, load_state, read_weights
from detector.text import shown

try:
    from timm.layers import create_classifier
    from timm.models import adapt_input_conv, build_model_with_cfg, generate_default_cfgs, register_model
    from timm.models._features import FeatureDictNet, FeatureListNet, feature_take_indices
except ImportError as error:
    raise ImportError(
        f"timm must be installed for its adapter, got {error}: pip install 'googlenet-detector[timm]'"
    ) from None

# timm's names of extractors; of the two that put a network together anew their classes
EXTRACTORS = {"getter": "getter", "list": FeatureListNet, "dict": FeatureDictNet, "hook": "hook", "fx": "fx"}
SOURCE_KEYS = {"url", "file", "state_dict", "hf_hub_id"}


class GoogLeNetModel(nn.Module):
    """Images (B, in_chans, H, W) to logits (B, num_classes), with the methods that timm's models have."""

    def __init__(
        self,
        variant: Variant,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.4,
    ) -> None:
        super().__init__()
        self.in_chans = in_chans
        self.num_features = FEATURES
        self.feature_info = list(describe_maps().info)
        self.pretrained_cfg: dict[str, Any] = {}
        self.last_map = LAST_MAPS[-1]
        self.backbone = GoogLeNet(variant)
        if in_chans != 3:
            first = self.backbone.conv1
            first.conv = nn.Conv2d(in_chans, 64, 7, 2, 3, bias=first.conv.bias is not None)
            initialise(first.conv)
        self.pool_type = global_pool
        self.dropout = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) of images (B, in_chans, H, W)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The map (B, 1024, h, w) of inception 5b."""
        return self.backbone.map_list(x, [self.last_map])[0]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits of the map, or with `pre_logits` what the classifier is given."""
        x = self.dropout(self.global_pool(x))
        return x if pre_logits else self.classifier(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The maps at `indices` (an int: the last so many) in that order, behind the last map unless told not."""
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be NCHW, got {output_fmt}")
        taken, last = feature_take_indices(len(LAST_MAPS), indices)
        names = [LAST_MAPS[index] for index in taken]
        final = LAST_MAPS[last] if stop_early or intermediates_only else self.last_map
        *found, end = self.backbone.map_list(x, [*names, final])
        return found if intermediates_only else (end, found)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Leave out what the maps at `indices` do not need; return the indices, counted from the start."""
        taken, last = feature_take_indices(len(LAST_MAPS), indices)
        end_after(self.backbone, last + 1)
        self.last_map = LAST_MAPS[last]
        self.num_features = self.feature_info[last]["num_chs"]
        if prune_head or self.last_map != LAST_MAPS[-1]:
            self.reset_classifier(0, "")
        return taken

    def get_classifier(self) -> nn.Module:
        """The last linear layer; an identity where there is none."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Give the network a new classifier, 0 classes for none; `global_pool` as in timm, "" for none."""
        self.num_classes = num_classes
        self.pool_type = self.pool_type if global_pool is None else global_pool
        pool, classifier = create_classifier(self.num_features, num_classes, pool_type=self.pool_type)
        if isinstance(classifier, nn.Linear):
            nn.init.normal_(classifier.weight, std=0.01)
            nn.init.zeros_(classifier.bias)
        self.head_hidden_size = self.num_features * pool.feat_mult()
        self.global_pool = pool.train(self.training)
        self.classifier = classifier.train(self.training).to(next(self.parameters()))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether training saves memory by computing maps twice."""
        self.backbone.checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """The layers in order, for learning rates that fall layer by layer; with `coarse` the strides alone."""
        depth = {name: int(name[0]) if coarse else place for place, name in enumerate(TABLE_1)}
        blocks = [(rf"^backbone\.inception\.{name}", (place,)) for name, place in depth.items()]
        return {"stem": r"^backbone\.conv", "blocks": blocks}

    def load_pretrained(self, path: str) -> None:
        """Load a file of weights, turned to RGB; `pretrained_cfg` gets the mean and deviation they want.

        A classifier of another number of classes keeps its initial weights, and other channels than three get
        weights as timm makes them. DataError names what does not fit.
        """
        weights = read_weights(Path(path)).in_rgb()
        if weights.variant != self.backbone.variant:
            raise DataError(
                f"weights must be of the variant {self.backbone.variant}, got those of {weights.variant} ({path})"
            )
        own, state = self.state_dict(), weights.network()
        if FIRST_CONVOLUTION in state:
            state[FIRST_CONVOLUTION] = adapt_input_conv(self.in_chans, state[FIRST_CONVOLUTION])
        theirs = [key for key in state if key.startswith(CLASSIFIER)]
        if theirs and (weights.groups or weights.outputs != self.num_classes):
            state = {key: state[key] for key in state.keys() - theirs}
        state = {key: own[key] for key in own if key.startswith(CLASSIFIER)} | state
        load_state(self, state, Path(path))
        self.pretrained_cfg.update(_normalisation(weights.preprocessing))


class Strides(nn.Module):
    """The trunk of a model as one module a stride, for timm's extractors that put a network together anew.

    They take the modules of a network one after another, and know none within others.
    """

    def __init__(self, model: GoogLeNetModel) -> None:
        super().__init__()
        trunk, blocks = model.backbone, model.backbone.inception
        parts: dict[str, list[nn.Module]] = {
            "conv1": [trunk.conv1],
            "conv2": [trunk.pool, trunk.norm1, trunk.conv2_reduce, trunk.conv2, trunk.norm2],
            "3b": [trunk.pool, *(blocks[name] for name in STAGES[2])],
            "4e": [trunk.pool, *(blocks[name] for name in STAGES[3])],
            "5b": [trunk.last_pool, *(blocks[name] for name in STAGES[4])],
        }
        for name, modules in parts.items():
            self.add_module(name, nn.Sequential(*modules))
        self.feature_info = [info | {"module": name} for name, info in zip(parts, model.feature_info, strict=True)]


def _normalisation(preprocessing: Preprocessing) -> dict[str, tuple[float, ...]]:
    """timm's words for it: RGB, of values in 0..1."""
    step = 1 if preprocessing.channel_order == "RGB" else -1
    return {
        "mean": tuple(value / 255 for value in preprocessing.mean[::step]),
        "std": tuple(value / 255 for value in preprocessing.scale[::step]),
    }


def _settings(variant: Variant, **published: str) -> dict[str, Any]:
    return {
        "custom_load": True,
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 224 / 256,
        "interpolation": "bilinear",
        "first_conv": FIRST_CONVOLUTION.removesuffix(".weight"),
        "classifier": "classifier",
        "paper_ids": "arXiv:1409.4842",
        **_normalisation(FACTS[variant].preprocessing),
        **published,
    }


default_cfgs = generate_default_cfgs(
    {
        "googlenet_paper.bvlc_in1k": _settings("paper", url=SOURCES["bvlc"].urls[0]),
        "googlenet_paper_bn.untrained": _settings("paper_bn"),
        "googlenet_torchvision.tv_in1k": _settings("torchvision", url=SOURCES["torchvision"].urls[0]),
    }
)


def _build(variant: Variant, source: str, pretrained: bool, **arguments: Any) -> nn.Module:
    """A model by timm's builder; `source` in `SOURCES` names the weights for which the user gave no file."""
    overlay = {"custom_load": True, **(arguments.pop("pretrained_cfg_overlay", None) or {})}
    ours = isinstance(arguments.get("pretrained_cfg"), str | None)
    if pretrained and source and ours and not SOURCE_KEYS & overlay.keys():
        overlay["file"] = str(find_weights(Path(source), download=True))
    return build_model_with_cfg(
        partial(GoogLeNetModel, variant),
        f"googlenet_{variant}",
        pretrained,
        pretrained_cfg_overlay=overlay,
        feature_cfg={"feature_cls": "getter", "out_indices": (0, 1, 2, 3, 4)},
        **_with_extractor(arguments),
    )


def _with_extractor(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a model, `feature_cls` in a form that fits it; ConfigError where timm has none such."""
    chosen = arguments.get("feature_cls")
    if isinstance(chosen, str):
        name = "hook" if "hook" in chosen.lower() else chosen.lower()  # as timm reads it
        chosen = EXTRACTORS.get(name)
    if "feature_cls" in arguments and not (isinstance(chosen, str) or callable(chosen)):
        got = shown(arguments["feature_cls"])
        raise ConfigError(f"feature_cls must be one of {', '.join(EXTRACTORS)} or a class, got {got}")
    if isinstance(chosen, type) and issubclass(chosen, FeatureDictNet):
        chosen = partial(_extractor_of_strides, chosen)
    return arguments if chosen is None else arguments | {"feature_cls": chosen}


def _extractor_of_strides(extractor: type[nn.Module], model: GoogLeNetModel, **settings: Any) -> nn.Module:
    return extractor(Strides(model), **settings)


@register_model
def googlenet_paper(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """GoogLeNet as published; the weights are the BVLC model's."""
    return _build("paper", "bvlc", pretrained, **arguments)


@register_model
def googlenet_paper_bn(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """GoogLeNet as published, with batch normalisation; nobody published weights."""
    return _build("paper_bn", "", pretrained, **arguments)


@register_model
def googlenet_torchvision(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """torchvision's network of that name, with its weights."""
    return _build("torchvision", "torchvision", pretrained, **arguments)
