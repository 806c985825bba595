"""Stand-ins for detectron2 and mmengine, by their documentation, as far as the adapters need them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from torch import nn

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

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    stride: int | None = None


class Backbone(nn.Module):
    """detectron2's base class."""


class FPN(Backbone):
    """Remembers what it is made of."""

    def __init__(self, bottom_up: Backbone, **settings: Any) -> None:
        super().__init__()
        self.bottom_up = bottom_up
        self.settings = settings


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
        detectron2__modeling__backbone__fpn={"FPN": FPN, "LastLevelMaxPool": nn.Identity},
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
