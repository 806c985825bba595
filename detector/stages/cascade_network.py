"""The cheap network of a cascade: a network as it stands under a classifier of small crops."""

from detector.config import CascadeSettings, RegionSettings
from detector.networks.backbones import check_crop
from detector.networks.backbones.base import Variant
from detector.networks.weight_files.weights import load_model
from detector.runs.pretrained import weights_file


def check_cascade(settings: CascadeSettings, variant: Variant) -> None:
    """Raise DataError for weights of the cascade's own that cannot be read, ConfigError for too small crops.

    Without weights of its own the network is of `variant`.
    """
    if not settings.is_used:
        return
    weights = weights_file(settings.weights)
    if weights:
        variant = load_model(weights)[0].backbone.variant
    check_crop(variant, settings.crop_size, "cascade.crop_size")


def small_region(region: RegionSettings, crop_size: int) -> RegionSettings:
    """How the cheap network sees a region: as the detector does with one crop, but smaller."""
    padding = region.padding * crop_size // region.crop_size
    return RegionSettings(crop_size=crop_size, padding=padding, fill=region.fill)
