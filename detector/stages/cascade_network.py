"""The input of a cascade: small crops in a network as it is, or cells of the detector's own shared map."""

from pathlib import Path

from detector.config import CascadeSettings, RegionSettings
from detector.networks.backbones import backbone_facts, check_crop
from detector.networks.backbones.base import Variant
from detector.networks.weight_files.weights import load_model, weights_header
from detector.runs.pretrained import weights_file
from detector.stages.drawn_rows import CellsLook

CELLS = 3  # along a side of a region on the shared map, without surroundings


def check_cascade_network(settings: CascadeSettings, variant: Variant) -> None:
    """Raise DataError for weights of the cascade's own that cannot be read, ConfigError for too small crops.

    Without weights of its own the network is of `variant`.
    """
    if not settings.is_used:
        return
    weights = weights_file(settings.weights)
    if weights:
        variant = load_model(weights)[0].backbone.variant
    check_crop(variant, settings.crop_size, "cascade.crop_size")


def map_look(network: Path, region: RegionSettings) -> CellsLook:
    """`CELLS` x `CELLS` cells of the map that the network in a file has of an image sized as for `region`."""
    shared = backbone_facts(weights_header(network).variant).shared
    few = {"crop_size": CELLS * shared.cell, "padding": 0, "wide_padding": 0}
    return CellsLook(network, region.model_copy(update=few))


def small_region(region: RegionSettings, crop_size: int) -> RegionSettings:
    """How the cheap network sees a region: as the detector does with one crop, but smaller."""
    padding = region.padding * crop_size // region.crop_size
    return RegionSettings(crop_size=crop_size, padding=padding, fill=region.fill)
