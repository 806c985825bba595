"""Stand-ins for detectron2 and mmengine, by their documentation, as far as the adapters need them."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from torch import Tensor, nn
from torch.nn import functional

ADAPTERS = "detector.networks.adapters."


class Registry:
    """Both libraries' registry: classes or functions by name."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}

    def register(self) -> Callable[[Any], Any]:
        def enter(entry: Any) -> Any:
            self.entries[entry.__name__] = entry
            return entry

        return enter

    def register_module(self, name: list[str]) -> Callable[[Any], Any]:
        def enter(entry: Any) -> Any:
            self.entries.update(dict.fromkeys(name, entry))
            return entry

        return enter

    def get(self, name: str) -> Any:
        return self.entries[name]

    def build(self, settings: dict[str, Any]) -> Any:
        return self.entries[settings["type"]](**{k: v for k, v in settings.items() if k != "type"})


class ShapeSpec(NamedTuple):
    """Of a map."""

    channels: Any = None
    height: Any = None
    width: Any = None
    stride: Any = None


class Backbone(nn.Module):
    """detectron2's base class."""

    def output_shape(self) -> dict[str, ShapeSpec]:
        raise NotImplementedError


class FPN(Backbone):
    """detectron2's pyramid: levels p2, p3, ... by the logarithms of their strides, then those of the top block.

    The top block gets a map of the backbone or a level, whichever is called as its `in_feature` says.
    """

    def __init__(
        self,
        bottom_up: Backbone,
        in_features: list[str],
        out_channels: int,
        norm: str = "",
        top_block: Any = None,
        fuse_type: str = "sum",
    ) -> None:
        super().__init__()
        shapes = [bottom_up.output_shape()[name] for name in in_features]
        self.bottom_up, self.in_features, self.top_block = bottom_up, in_features, top_block
        self.out_channels = out_channels
        self.lateral = nn.ModuleList(nn.Conv2d(shape.channels, out_channels, 1) for shape in shapes)
        first = int(math.log2(shapes[0].stride))
        self.levels = range(first, first + len(shapes) + top_block.num_levels)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.bottom_up(images)
        found = [lateral(maps[name]) for lateral, name in zip(self.lateral, self.in_features, strict=True)]
        for index in range(len(found) - 1, 0, -1):
            found[index - 1] = found[index - 1] + functional.interpolate(found[index], scale_factor=2)
        named = {f"p{level}": map_ for level, map_ in zip(self.levels, found, strict=False)}
        extra = self.top_block((maps | named)[self.top_block.in_feature])
        return {f"p{level}": map_ for level, map_ in zip(self.levels, [*found, *extra], strict=True)}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {f"p{level}": ShapeSpec(channels=self.out_channels, stride=2**level) for level in self.levels}


class LastLevelMaxPool(nn.Module):
    """detectron2's one level more."""

    num_levels = 1
    in_feature = "p5"

    def forward(self, x: Tensor) -> list[Tensor]:
        return [functional.max_pool2d(x, 1, 2)]


class LastLevelP6P7(nn.Module):
    """detectron2's two levels more, for RetinaNet."""

    num_levels = 2
    in_feature = "res5"

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        p6 = self.p6(x)
        return [p6, self.p7(functional.relu(p6))]


class BaseModule(nn.Module):
    """mmengine's base class."""

    def __init__(self, init_cfg: Any = None) -> None:
        super().__init__()
        self.init_cfg = init_cfg


def get_cfg() -> SimpleNamespace:
    """detectron2's defaults, those that the adapter reads."""
    return SimpleNamespace(
        INPUT=SimpleNamespace(FORMAT="BGR"),
        MODEL=SimpleNamespace(
            WEIGHTS="",
            PIXEL_MEAN=[103.53, 116.28, 123.675],
            PIXEL_STD=[1.0, 1.0, 1.0],
            BACKBONE=SimpleNamespace(NAME="build_resnet_backbone", FREEZE_AT=2),
            FPN=SimpleNamespace(IN_FEATURES=[], OUT_CHANNELS=256, NORM="", FUSE_TYPE="sum"),
        ),
    )


def _modules(**contents: dict[str, Any]) -> dict[str, ModuleType]:
    made = {}
    for name, attributes in contents.items():
        module = ModuleType(name.replace("__", "."))
        module.__dict__.update(attributes)
        made[module.__name__] = module
    return made


def _detectron2() -> dict[str, ModuleType]:
    registry = Registry()

    def build_backbone(cfg: SimpleNamespace) -> Any:
        return registry.get(cfg.MODEL.BACKBONE.NAME)(cfg, ShapeSpec(channels=3))

    return _modules(
        detectron2={},
        detectron2__config={"CfgNode": SimpleNamespace, "get_cfg": get_cfg},
        detectron2__layers={"ShapeSpec": ShapeSpec},
        detectron2__modeling={
            "BACKBONE_REGISTRY": registry,
            "Backbone": Backbone,
            "build_backbone": build_backbone,
        },
        detectron2__modeling__backbone={},
        detectron2__modeling__backbone__fpn={
            "FPN": FPN,
            "LastLevelMaxPool": LastLevelMaxPool,
            "LastLevelP6P7": LastLevelP6P7,
        },
    )


def _mmengine() -> dict[str, ModuleType]:
    return _modules(
        mmengine={},
        mmengine__model={"BaseModule": BaseModule},
        mmengine__registry={"MODELS": Registry()},
    )


STAND_INS = {"detectron2": _detectron2, "mmengine": _mmengine}


@contextmanager
def library(name: str) -> Iterator[None]:
    """Make the library importable: the real one where installed, else its stand-in, which leaves no trace."""
    if find_spec(name) is not None:
        yield
        return
    adapters = [key for key in sys.modules if key.startswith(ADAPTERS)]
    with patch.dict(sys.modules, STAND_INS[name]()):
        for adapter in adapters:
            del sys.modules[adapter]
        yield


def import_adapter(name: str) -> ModuleType:
    """An adapter, with the libraries there are."""
    return import_module(ADAPTERS + name)
