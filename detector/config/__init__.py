"""Every setting of the project: frozen, typed, checked."""

from detector.config.classification import ClassificationConfig, CropSettings, ImageSettings, TrainSettings
from detector.config.detection import (
    Config,
    DataSettings,
    DetectSettings,
    EvaluateSettings,
    FinetuneSettings,
    MultiBoxInference,
    MultiBoxProposals,
    ProposalSettings,
    RegionSettings,
)
from detector.config.loading import Section, dump_config, load_config, parse_config
from detector.config.multibox import MultiBoxConfig, MultiBoxSettings
from detector.config.shared import EngineSettings, NetworkSettings, TrainingSettings

__all__ = [
    "ClassificationConfig",
    "Config",
    "CropSettings",
    "DataSettings",
    "DetectSettings",
    "EngineSettings",
    "EvaluateSettings",
    "FinetuneSettings",
    "ImageSettings",
    "MultiBoxConfig",
    "MultiBoxInference",
    "MultiBoxProposals",
    "MultiBoxSettings",
    "NetworkSettings",
    "ProposalSettings",
    "RegionSettings",
    "Section",
    "TrainSettings",
    "TrainingSettings",
    "dump_config",
    "load_config",
    "parse_config",
]
