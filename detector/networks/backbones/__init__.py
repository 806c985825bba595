"""The networks under the region classifier, by the names that `network.variant` has for them."""

from collections.abc import Collection

from detector.choices import BACKBONES, chosen_module
from detector.errors import ConfigError
from detector.networks.backbones.base import Backbone, BackboneFacts, Family, Variant
from detector.text import shown


def make_backbone(variant: Variant) -> Backbone:
    """The network with random weights; ConfigError for an unknown name."""
    _check(variant)
    network: Backbone = chosen_module(BACKBONES, variant).make(variant)
    return network


def backbone_facts(variant: Variant) -> BackboneFacts:
    """What is known of the network without making it; ConfigError for an unknown name."""
    _check(variant)
    facts: BackboneFacts = chosen_module(BACKBONES, variant).FACTS[variant]
    return facts


def recognise(family: Family, names: Collection[str]) -> Variant:
    """Whose tensors are called so in files of `family`: the first network that has all, else that has most."""
    known: dict[Variant, int] = {}
    for variant in BACKBONES:
        facts = backbone_facts(variant)
        if family in facts.foreign:
            known[variant] = sum(facts.our_name(family, name) is not None for name in names)
            if known[variant] == len(names):
                return variant
    return max(known, key=known.__getitem__)


def check_crop(variant: Variant, size: int, setting: str = "region.crop_size") -> None:
    """Raise ConfigError, which names the setting, for crops of `size` pixels that leave the network no cell."""
    smallest = backbone_facts(variant).smallest
    if size < smallest:
        raise ConfigError(f"{setting} must be at least {smallest} pixels for {variant}, got {size}")


def check_rounded(variant: Variant) -> None:
    """Raise ConfigError where int8 is asked for of a network that states no parts that can be rounded."""
    if not backbone_facts(variant).rounded:
        raise ConfigError(f"engine.precision must be auto, fp32, bf16 or fp16 for {variant}, got int8")


def _check(variant: object) -> None:
    if not isinstance(variant, str) or variant not in BACKBONES:
        raise ConfigError(f"variant must be one of {', '.join(BACKBONES)}, got {shown(variant)}")
