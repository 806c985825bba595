"""Settings that count only with another: one list, and what is done about one that is given without its partner.

A training refuses what asks for something that it would not do: a file, a split or a method whose partner is off
(`check_partners`). What only tunes a part that is off is told in a line (`idle_lines`), since a file may well keep
it while a word turns the part off, as in `configs/fruit_crops.yaml svm.enabled=false`. Settings are looked at when
a training begins, not when they are read: those of an earlier run stay readable, and its parts can be turned off
one by one (`detect RUN --set proposals.source=selective_search`). A setting at its default is never meant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from detector.choices import FORMATS, PROPOSAL_METHODS, chosen_module
from detector.config.cascade_settings import CascadeSettings
from detector.config.context_settings import ContextSettings
from detector.config.detection_settings import DEFAULT_SOURCE, Config, FinetuneSettings, PretrainSettings
from detector.config.head_settings import BoxSettings, SvmSettings
from detector.config.loading import Section
from detector.errors import ConfigError


@dataclass(frozen=True)
class Partner:
    """What `settings` count only with: `needed` says it in words."""

    settings: tuple[str, ...]
    needed: str
    is_there: Callable[[Config], object]


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


def _of_training(key: str) -> Sequence[Partner]:
    """What a training on regions has for one of its optimizers, schedules and averages alone."""

    def chosen(name: str, value: str) -> Callable[[Config], bool]:
        return lambda config: getattr(getattr(config, key), name) == value

    return (
        Partner((f"{key}.momentum",), f"{key}.optimizer sgd", chosen("optimizer", "sgd")),
        Partner((f"{key}.step_size",), f"{key}.schedule step", chosen("schedule", "step")),
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
    *_of_training("pretrain"),
    *_of_training("finetune"),
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


def check_partners(config: Config) -> None:
    """Raise ConfigError for the first setting that asks for something without its partner."""
    for partner in ASKING:
        for key in _alone(config, partner):
            given, default = _value(config, key)
            raise ConfigError(f"{key} must be {_text(default)} without {partner.needed}, got {_text(given)}")


def idle_lines(config: Config) -> list[str]:
    """A line for each partner that is off while settings tune what counts only with it."""
    lines, told = [], set[str]()
    for partner in TUNING:
        alone = [key for key in _alone(config, partner) if key not in told]
        told.update(alone)
        if alone:
            lines.append(f"warning: without {partner.needed} nothing uses {', '.join(alone)}")
    return lines


def _alone(config: Config, partner: Partner) -> list[str]:
    """The settings of a partner that is off which are not at their default."""
    if partner.is_there(config):
        return []
    pairs = ((key, _value(config, key)) for key in partner.settings)
    return [key for key, (given, default) in pairs if given != default]


def _value(config: Config, key: str) -> tuple[Any, Any]:
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
