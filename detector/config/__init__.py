"""Every setting of the project: frozen, typed, checked."""

from detector.config.cascade_settings import CascadeSettings
from detector.config.classification_settings import (
    ClassificationConfig,
    CropSettings,
    ImageSettings,
    TrainSettings,
)
from detector.config.common import EngineSettings, LogSettings, NetworkSettings, TrainingSettings
from detector.config.context_settings import ContextSettings, OfImage, OfRegion
from detector.config.crop_settings import RegionSettings
from detector.config.detection_settings import (
    Config,
    DataSettings,
    DetectSettings,
    FinetuneSettings,
    MultiBoxInference,
    MultiBoxProposals,
    PretrainSettings,
    ProposalSettings,
    RegionTraining,
)
from detector.config.ensemble_settings import EnsembleSettings
from detector.config.evaluate_settings import EvaluateSettings
from detector.config.head_settings import FEATURE_NORM, BoxSettings, SvmSettings
from detector.config.loading import Section, dump_config, load_config, parse_config
from detector.config.methods import CONTEXT, ENSEMBLE, Method
from detector.config.multibox_settings import MultiBoxConfig, MultiBoxSettings
from detector.config.partners import check_partners, idle_lines, idle_words

__all__ = [
    "CONTEXT",
    "ENSEMBLE",
    "FEATURE_NORM",
    "BoxSettings",
    "CascadeSettings",
    "ClassificationConfig",
    "Config",
    "ContextSettings",
    "CropSettings",
    "DataSettings",
    "DetectSettings",
    "EngineSettings",
    "EnsembleSettings",
    "EvaluateSettings",
    "FinetuneSettings",
    "ImageSettings",
    "LogSettings",
    "Method",
    "MultiBoxConfig",
    "MultiBoxInference",
    "MultiBoxProposals",
    "MultiBoxSettings",
    "NetworkSettings",
    "OfImage",
    "OfRegion",
    "PretrainSettings",
    "ProposalSettings",
    "RegionSettings",
    "RegionTraining",
    "Section",
    "SvmSettings",
    "TrainSettings",
    "TrainingSettings",
    "check_partners",
    "dump_config",
    "idle_lines",
    "idle_words",
    "load_config",
    "parse_config",
]
