"""What settings choose among by name. Each choice is a module, which is imported when it is asked for.

A further one is a module of its own and one line here; CONTRIBUTING.md has the recipes.
"""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

Table = Mapping[str, str]  # from the name to the module that has it

BACKBONES: dict[str, str] = {
    "paper": "detector.networks.backbones.googlenet",
    "paper_bn": "detector.networks.backbones.googlenet",
    "torchvision": "detector.networks.backbones.googlenet",
    "alexnet": "detector.networks.backbones.torchvision_nets",
    "vgg16": "detector.networks.backbones.torchvision_nets",
    "resnet50": "detector.networks.backbones.torchvision_nets",
    "inception_v3": "detector.networks.backbones.torchvision_nets",
    "tiny": "detector.networks.backbones.tiny",
}
FORMATS: dict[str, str] = {
    "ilsvrc": "detector.data.formats.ilsvrc",
    "voc": "detector.data.formats.voc",
    "coco": "detector.data.formats.coco",
    "yolo": "detector.data.formats.yolo",
    "images": "detector.data.formats.image_folder",
}
PROPOSAL_METHODS: dict[str, str] = {
    "selective_search": "detector.inference.proposal_methods.by_search",
    "multibox": "detector.inference.proposal_methods.by_multibox",
    "union": "detector.inference.proposal_methods.by_union",
    "given": "detector.inference.proposal_methods.by_file",
}
PROTOCOLS: dict[str, str] = {
    "ilsvrc": "detector.evaluation.protocols.ilsvrc_rule",
    "voc2007": "detector.evaluation.protocols.voc2007",
    "voc2010": "detector.evaluation.protocols.voc2010",
    "coco": "detector.evaluation.protocols.coco_rule",
}


class Choice:
    """Marks a text as one of the names in `table`."""

    def __init__(self, table: Table) -> None:
        self.table = table


def chosen_module(table: Table, name: str) -> ModuleType:
    """The module that a name in `table` stands for."""
    return import_module(table[name])
