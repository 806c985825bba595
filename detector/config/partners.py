"""Settings that count only with another: one list, and what is done about one that is given without its partner.

A training refuses what asks for something that it would not do: a file, a split or a method whose partner is off
(`check_partners`). What only tunes a part that is off is told in a line (`idle_lines`), since a file may well keep
it while a word turns the part off, as in `configs/fruit_crops.yaml svm.enabled=false`. Settings are looked at when
a training begins, not when they are read: those of an earlier run stay readable, and its parts can be turned off
one by one (`detect RUN --set proposals.source=selective_search`). A setting at its default is never meant, but for
what the words on a command line over an earlier run's settings name (`idle_words`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detector.choices import FORMATS, PROPOSAL_METHODS, chosen_module
from detector.config.cascade_settings import CascadeSettings
from detector.config.classification_settings import ClassificationConfig
from detector.config.common import LogSettings
from detector.config.context_settings import ContextSettings
from detector.config.detection_settings import (
    DEFAULT_SOURCE,
    Config,
    DataSettings,
    FinetuneSettings,
    PretrainSettings,
)
from detector.config.evaluate_settings import EvaluateSettings
from detector.config.head_settings import BoxSettings, SvmSettings
from detector.config.loading import Section, apply_override
from detector.config.multibox_settings import MultiBoxConfig
from detector.errors import ConfigError


@dataclass(frozen=True)
class Partner:
    """What `settings` count only with: `needed` says it in words."""

    settings: tuple[str, ...]
    needed: str
    is_there: Callable[[Any], object]  # of the whole settings


def _of(section: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{section}.{name}" for name in names)


def _rest_of(section: str, kind: type[Section], *but: str) -> tuple[str, ...]:
    """All settings of a section but those that turn it on, or that count otherwise."""
    return _of(section, *(name for name in kind.model_fields if name not in but))


def _reads(file: str) -> Callable[[Config], bool]:
    """Whether the source of proposals says that it reads the file of this setting of theirs."""

    def is_read(config: Config) -> bool:
        source = config.proposals.source
        if source == DEFAULT_SOURCE:
            return False
        return file in chosen_module(PROPOSAL_METHODS, source).METHOD.files(config.proposals)

    return is_read


def _is_none_of(*sources: str) -> Callable[[Config], bool]:
    """Whether the source of proposals is another: one from outside may read anything."""
    return lambda config: config.proposals.source not in sources


SEVERAL_MODELS = "several models, by ensemble.members or ensemble.runs"
BEST = "finetune.best loss or accuracy"

ASKING: Sequence[Partner] = (
    Partner(("boxes.method",), "boxes.enabled true", lambda c: c.boxes.enabled),
    Partner(("finetune.best",), "finetune.steps", lambda c: c.finetune.steps),
    Partner(("finetune.validation",), BEST, lambda c: c.finetune.judged_on),
    Partner(("network.head",), "finetune.steps", lambda c: c.finetune.steps or c.network.head != "fitted"),
    Partner(("ensemble.fit_weights",), SEVERAL_MODELS, lambda c: c.ensemble.has_several_models),
    Partner(("cascade.weights",), "cascade.keep", lambda c: c.cascade.is_used),
    Partner(("context.weights",), "context.splits", lambda c: c.context.is_used),
    Partner(("proposals.given",), "proposals.source given", _reads("given")),
    Partner(("proposals.multibox.weights",), "proposals.source multibox or union", _reads("multibox.weights")),
)


def _of_training(key: str, *of_steps: str) -> Sequence[Partner]:
    """What a training has for one of its optimizers, schedules (`of_steps` for step) and averages alone."""

    def chosen(name: str, value: str) -> Callable[[Section], bool]:
        return lambda config: getattr(getattr(config, key), name) == value

    return (
        Partner((f"{key}.momentum",), f"{key}.optimizer sgd", chosen("optimizer", "sgd")),
        Partner(_of(key, *of_steps), f"{key}.schedule step", chosen("schedule", "step")),
        Partner((f"{key}.average_decay",), f"{key}.average ema", chosen("average", "ema")),
        Partner((f"{key}.average_start",), f"{key}.average polyak", chosen("average", "polyak")),
    )


TUNING: Sequence[Partner] = (
    Partner(
        ("data.negative_lists",),
        "a data.format with lists by class",
        lambda c: chosen_module(FORMATS, c.data.format).FORMAT.listed_by_class,
    ),
    Partner(
        _of("proposals", "mode", "ks", "superpixel_scale", "sigma", "min_side", "width", "max_boxes"),
        "proposals.source selective_search or union",
        _is_none_of("given", "multibox"),
    ),
    Partner(
        _of("proposals.multibox", "scales", "edge", "nms_iou", "boxes"),
        "proposals.source multibox or union",
        _is_none_of("given", DEFAULT_SOURCE),
    ),
    Partner(
        ("proposals.duplicate_iou",),
        "proposals.source union",
        _is_none_of("given", "multibox", DEFAULT_SOURCE),
    ),
    Partner(
        _of("region", "shared_side", "shared_longest", "shared_images"),
        "region.mode shared",
        lambda c: c.region.mode == "shared",
    ),
    Partner(_rest_of("pretrain", PretrainSettings, "steps"), "pretrain.steps", lambda c: c.pretrain.steps),
    Partner(
        _rest_of("finetune", FinetuneSettings, "steps", "best", "validation", "positive_iou"),
        "finetune.steps",
        lambda c: c.finetune.steps,
    ),
    Partner(_of("finetune", "validation_regions", "validate_every"), BEST, lambda c: c.finetune.judged_on),
    *_of_training("pretrain", "step_size"),
    *_of_training("finetune", "step_size"),
    Partner(_rest_of("svm", SvmSettings, "enabled"), "svm.enabled true", lambda c: c.svm.enabled),
    Partner(_rest_of("boxes", BoxSettings, "enabled", "method"), "boxes.enabled true", lambda c: c.boxes.enabled),
    Partner(("boxes.weight",), "boxes.method joint", lambda c: c.boxes.method == "joint"),
    Partner(_of("boxes", "images", "ridge"), "boxes.method ridge", lambda c: c.boxes.method == "ridge"),
    Partner(_rest_of("cascade", CascadeSettings, "keep", "weights"), "cascade.keep", lambda c: c.cascade.is_used),
    Partner(("cascade.crop_size",), "cascade.sees crops", lambda c: not c.cascade.sees_map(c.region)),
    Partner(("ensemble.weights",), SEVERAL_MODELS, lambda c: c.ensemble.has_several_models),
    Partner(
        _rest_of("context", ContextSettings, "splits", "weights"), "context.splits", lambda c: c.context.is_used
    ),
    Partner(
        ("context.weights",),
        "imagenet, classes or global in context.image",
        lambda c: set(c.context.image) - {"best"},
    ),
    Partner(
        ("detect.nms_iou",),
        "detect.nms greedy or soft_linear, or context.splits",
        lambda c: c.detect.nms != "soft_gaussian" or c.context.is_used,
    ),
    Partner(("detect.soft_sigma",), "detect.nms soft_gaussian", lambda c: c.detect.nms == "soft_gaussian"),
    Partner(("detect.iterated",), "detect.iterations", lambda c: c.detect.iterations),
    Partner(("detect.min_svm_score",), "svm.enabled true", lambda c: c.svm.enabled),
)


OF_CLASSIFIERS: Sequence[Partner] = _of_training("train", "step_epochs", "step_factor")

OF_MULTIBOX: Sequence[Partner] = (
    *_of_training("train", "step_size"),
    Partner(
        ("train.label_smoothing", "network.dropout", "data.negative_lists"), "a classifier", lambda config: False
    ),
    Partner(("multibox.shapes",), "multibox.form grid", lambda c: c.multibox.form == "grid"),
    Partner(("multibox.priors",), "multibox.form learned", lambda c: c.multibox.form == "learned"),
    Partner(("multibox.bootstrap_start",), "multibox.bootstrap below 1", lambda c: c.multibox.bootstrap < 1),
    Partner(("multibox.min_visible",), "multibox.min_area below 1", lambda c: c.multibox.min_area < 1),
)

TUNING_OF: Mapping[type[Section], Sequence[Partner]] = {
    Config: TUNING,
    ClassificationConfig: OF_CLASSIFIERS,
    MultiBoxConfig: OF_MULTIBOX,
}


OF_TRAINING = _rest_of("log", LogSettings)
OF_TEST = (*OF_TRAINING, *_rest_of("evaluate", EvaluateSettings), "detect.max_per_class")
OF_DATA = _rest_of("data", DataSettings, "classes", "exif")
OF_RUN = (  # what is learned beside the network, which a file of its weights alone does not hold
    *_rest_of("svm", SvmSettings),
    *_rest_of("boxes", BoxSettings),
    *_rest_of("cascade", CascadeSettings),
    *_of("ensemble", "members", "runs", "weights", "fit_weights"),
    *_rest_of("context", ContextSettings),
    *_of("detect", "method", "min_svm_score"),
)


def check_partners(config: Config) -> None:
    """Raise ConfigError for the first setting that asks for something without its partner."""
    for partner in ASKING:
        for key in _meant(config, partner.settings) if not partner.is_there(config) else ():
            given, default = _value(config, key)
            raise ConfigError(f"{key} must be {_text(default)} without {partner.needed}, got {_text(given)}")


def idle_lines(config: Section) -> list[str]:
    """A line for each partner that is off while settings of an experiment tune what counts only with it."""
    return _lines(config, TUNING_OF[type(config)], lambda keys: _meant(config, keys))


def idle_words(config: Config, words: Sequence[str], unread: Sequence[str] = OF_TRAINING) -> list[str]:
    """A line for each partner that is off while `section.key=value` words give what counts only with it.

    The words go over the settings of a trained detector, and `unread` are those that who uses it never reads.
    """
    tree: dict[str, Any] = {}
    for word in words:
        apply_override(tree, word)
    named = list(_keys(tree))
    useless = [key for key in named if key in unread]
    lines = [f"warning: nothing uses {', '.join(useless)} here"] if useless else []
    read = set(named).difference(useless)
    return lines + _lines(config, (*ASKING, *TUNING), lambda keys: [key for key in keys if key in read])


def _lines(
    config: Section, partners: Sequence[Partner], choose: Callable[[Sequence[str]], Sequence[str]]
) -> list[str]:
    """A line for each partner that is off of which some settings, of which `choose` tells, are to be told."""
    lines, told = [], set[str]()
    for partner in (each for each in partners if not each.is_there(config)):
        alone = [key for key in choose(partner.settings) if key not in told]
        told.update(alone)
        if alone:
            lines.append(f"warning: without {partner.needed} nothing uses {', '.join(alone)}")
    return lines


def _keys(tree: Mapping[str, Any], start: str = "") -> Iterator[str]:
    """The settings that a tree gives."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{start}{name}.")
        else:
            yield f"{start}{name}"


def _meant(config: Section, keys: Sequence[str]) -> list[str]:
    """Those of the settings that are not at their default."""
    pairs = ((key, _value(config, key)) for key in keys)
    return [key for key, (given, default) in pairs if given != default]


def _value(config: Section, key: str) -> tuple[Any, Any]:
    """What a setting is, and what it is by default."""
    *sections, name = key.split(".")
    section: Any = config
    for each in sections:
        section = getattr(section, each)
    return getattr(section, name), type(section).model_fields[name].default


def _text(value: object) -> str:
    """A value as messages show it; lists without their brackets."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "()"
    return "null" if value is None else str(value)
