"""Settings that count only with another."""

from pathlib import Path
from typing import TypeVar

import pytest

from detector.config import (
    ClassificationConfig,
    Config,
    MultiBoxConfig,
    Section,
    check_partners,
    dump_config,
    idle_lines,
    idle_words,
    load_config,
    parse_config,
)
from detector.config.explain import known_keys
from detector.config.partners import ASKING, OF_DATA, OF_RUN, OF_TEST, TUNING_OF
from detector.config.yaml_text import read_yaml_text
from detector.errors import ConfigError

Kind = TypeVar("Kind", bound=Section)

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
KINDS = {"train_det": Config, "train_cls": ClassificationConfig, "train_multibox": MultiBoxConfig}
OF_KINDS = [
    (path, kind)
    for path in CONFIGS
    for command, kind in KINDS.items()
    if f"tools/{command}.py configs/{path.name}" in path.read_text()
]
BEST = "finetune.best loss or accuracy"
MODELS = "several models, by ensemble.members or ensemble.runs"
CONTEXT = "imagenet, classes or global in context.image"
REFUSED = [
    ("boxes.method=joint", "boxes.method must be ridge without boxes.enabled true, got joint"),
    ("finetune.validation=[val]", f"finetune.validation must be () without {BEST}, got val"),
    (
        "svm.enabled=true finetune.steps=0 finetune.validation=[val] finetune.best=loss",
        "finetune.best must be none without finetune.steps, got loss",
    ),
    (
        "svm.enabled=true finetune.steps=0 network.head=fitted network.weights=a.npz",
        "network.head must be random without finetune.steps, got fitted",
    ),
    ("ensemble.fit_weights=[val]", f"ensemble.fit_weights must be () without {MODELS}, got val"),
    ("ensemble.fit_weights=[val] ensemble.mirror=true", f"fit_weights must be () without {MODELS}, got val"),
    ("cascade.weights=a.npz", "cascade.weights must be null without cascade.keep, got a.npz"),
    ("context.weights=a.npz", "context.weights must be null without context.splits, got a.npz"),
    ("proposals.given=a.npz", "proposals.given must be null without proposals.source given, got a.npz"),
    (
        "proposals.given=a.npz proposals.source=union proposals.multibox.weights=b.npz",
        "proposals.given must be null without proposals.source given, got a.npz",
    ),
    (
        "proposals.multibox.weights=a.npz",
        "proposals.multibox.weights must be null without proposals.source multibox or union, got a.npz",
    ),
]
KEPT = [
    "boxes.method=joint boxes.enabled=true",
    "finetune.validation=[val] finetune.best=loss",
    "network.head=fitted network.weights=a.npz",
    "ensemble.fit_weights=[val] ensemble.members=2",
    "ensemble.fit_weights=[val] ensemble.runs=[runs/a]",
    "cascade.weights=a.npz cascade.keep=9",
    "context.weights=a.npz context.splits=[val] context.image=[global]",
    "proposals.given=a.npz proposals.source=given",
    "proposals.multibox.weights=a.npz proposals.source=union",
    "proposals.multibox.weights=a.npz proposals.source=multibox",
]


def settings(words: str) -> Config:
    return settings_of(Config, words)


def settings_of(kind: type[Kind], words: str) -> Kind:
    tree: dict[str, object] = {}
    for word in words.split():
        key, value = word.split("=")
        *sections, name = key.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})  # type: ignore[assignment]
        branch[name] = read_yaml_text(value, "", "")
    return parse_config(kind, tree, "x.yaml")


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_asks_for_something_without_its_partner_is_refused_by_the_names_of_both(
    words: str, message: str
) -> None:
    config = settings(words)
    with pytest.raises(ConfigError) as caught:
        check_partners(config)
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize("words", KEPT)
def test_what_has_its_partner_is_kept(words: str) -> None:
    check_partners(settings(words))


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_settings_of_an_earlier_run_are_read_whatever_their_partners_are(
    words: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(dump_config(settings(words)))
    assert load_config(Config, tmp_path / "config.yaml").model_copy(update={"name": "detector"}) == settings(words)
    assert message


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("svm.c=0.1 svm.images=7", "without svm.enabled true nothing uses svm.c, svm.images"),
        ("boxes.weight=2", "without boxes.enabled true nothing uses boxes.weight"),
        ("boxes.weight=2 boxes.enabled=true", "without boxes.method joint nothing uses boxes.weight"),
        (
            "boxes.ridge=9 boxes.enabled=true boxes.method=joint",
            "without boxes.method ridge nothing uses boxes.ridge",
        ),
        ("pretrain.warmup=5", "without pretrain.steps nothing uses pretrain.warmup"),
        ("finetune.steps=0 svm.enabled=true finetune.warmup=5", "without finetune.steps nothing uses"),
        ("finetune.validate_every=5", f"without {BEST} nothing uses finetune.validate_every"),
        ("finetune.average_decay=0.9", "without finetune.average ema nothing uses finetune.average_decay"),
        ("finetune.momentum=0 finetune.optimizer=adamw", "without finetune.optimizer sgd nothing uses"),
        ("region.shared_side=400", "without region.mode shared nothing uses region.shared_side"),
        ("proposals.duplicate_iou=0.5", "without proposals.source union nothing uses proposals.duplicate_iou"),
        ("proposals.multibox.boxes=5", "without proposals.source multibox or union nothing uses proposals.multi"),
        (
            "proposals.source=given proposals.given=a.npz proposals.max_boxes=5",
            "without proposals.source selective_search or union nothing uses proposals.max_boxes",
        ),
        ("cascade.images=5", "without cascade.keep nothing uses cascade.images"),
        (
            "cascade.keep=9 region.mode=shared cascade.crop_size=32",
            "without cascade.sees crops nothing uses cascade.crop_size",
        ),
        ("context.image=[global]", "without context.splits nothing uses context.image"),
        ("context.weights=a.npz context.splits=[val]", f"without {CONTEXT} nothing uses context.weights"),
        ("ensemble.weights=[2]", f"without {MODELS} nothing uses ensemble.weights"),
        ("detect.soft_sigma=0.1", "without detect.nms soft_gaussian nothing uses detect.soft_sigma"),
        ("detect.nms=soft_gaussian detect.nms_iou=0.1", "greedy or soft_linear, or context.splits nothing uses"),
        ("detect.iterated=5", "without detect.iterations nothing uses detect.iterated"),
        ("detect.min_svm_score=0", "without svm.enabled true nothing uses detect.min_svm_score"),
        ("data.format=voc data.negative_lists=ignore", "without a data.format with lists by class nothing uses"),
    ],
)
def test_what_tunes_a_part_that_is_off_is_told_in_one_line(words: str, line: str) -> None:
    config = settings(words)
    check_partners(config)
    (told,) = idle_lines(config)
    assert line in told


@pytest.mark.parametrize(
    ("kind", "words", "line"),
    [
        (
            ClassificationConfig,
            "train.momentum=0 train.optimizer=adamw",
            "without train.optimizer sgd nothing uses",
        ),
        (
            ClassificationConfig,
            "train.step_epochs=2 train.step_factor=0.5 train.schedule=cosine",
            "without train.schedule step nothing uses train.step_epochs, train.step_factor",
        ),
        (ClassificationConfig, "train.average_decay=0.9", "without train.average ema nothing uses"),
        (
            ClassificationConfig,
            "train.average_start=0.9 train.average=ema",
            "without train.average polyak nothing",
        ),
        (MultiBoxConfig, "train.momentum=0.5", "without train.optimizer sgd nothing uses train.momentum"),
        (MultiBoxConfig, "train.step_size=5", "without train.schedule step nothing uses train.step_size"),
        (
            MultiBoxConfig,
            "train.label_smoothing=0.1 network.dropout=0",
            "without a classifier nothing uses train.label_smoothing, network.dropout",
        ),
        (MultiBoxConfig, "multibox.priors=5", "without multibox.form learned nothing uses multibox.priors"),
        (
            MultiBoxConfig,
            "multibox.shapes=size multibox.form=learned",
            "without multibox.form grid nothing uses multibox.shapes",
        ),
        (
            MultiBoxConfig,
            "multibox.bootstrap=1 multibox.bootstrap_start=0",
            "without multibox.bootstrap below 1 nothing uses multibox.bootstrap_start",
        ),
        (
            MultiBoxConfig,
            "multibox.min_area=1 multibox.min_visible=0.1",
            "without multibox.min_area below 1 nothing uses multibox.min_visible",
        ),
    ],
)
def test_what_tunes_nothing_of_a_classifier_or_multibox_is_told_in_one_line(
    kind: type[Section], words: str, line: str
) -> None:
    (told,) = idle_lines(settings_of(kind, words))
    assert line in told


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["detect.nms_iou=0.4"], []),
        (["detect.soft_sigma=0.5"], ["without detect.nms soft_gaussian nothing uses detect.soft_sigma"]),
        (
            ["detect={soft_sigma: 0.2, nms_iou: 0.4}"],
            ["without detect.nms soft_gaussian nothing uses detect."],
        ),
        (["proposals.given=a.npz"], ["without proposals.source given nothing uses proposals.given"]),
        (
            ["cascade.nms_iou=0.5", "context.after_nms=false"],
            ["without cascade.keep nothing uses", "without context.splits nothing uses"],
        ),
        (["log.tensorboard=true", "evaluate.pictures=2"], ["nothing uses log.tensorboard here"]),
    ],
)
def test_of_the_settings_of_a_trained_detector_those_that_words_give_are_told_alone(
    words: list[str], lines: list[str]
) -> None:
    config = settings("boxes.ridge=9 finetune.average_decay=0.5")  # the run's own, of which train_det told
    told = idle_words(config, words)
    assert len(told) == len(lines)
    assert all(line in each for line, each in zip(lines, told, strict=True))


def test_who_reads_no_data_set_uses_no_settings_of_one() -> None:
    words = ["evaluate.pictures=2", "data.root=x", "data.negative_lists=ignore", "data.exif=apply"]
    assert idle_words(settings("data.format=voc"), words, (*OF_TEST, *OF_DATA)) == [
        "warning: nothing uses evaluate.pictures, data.root, data.negative_lists here"
    ]


@pytest.mark.parametrize(("path", "kind"), OF_KINDS, ids=lambda value: getattr(value, "stem", ""))
def test_no_config_of_the_project_has_a_setting_without_its_partner(path: Path, kind: type[Section]) -> None:
    config = load_config(kind, path)
    assert idle_lines(config) == []
    if isinstance(config, Config):
        check_partners(config)


@pytest.mark.parametrize("kind", KINDS.values())
def test_the_published_settings_have_nothing_to_tell(kind: type[Section]) -> None:
    check_partners(Config())
    assert idle_lines(kind()) == []


def test_every_setting_with_a_partner_is_a_setting() -> None:
    assert {key for partner in ASKING for key in partner.settings} < set(known_keys(Config))
    assert {*OF_TEST, *OF_DATA, *OF_RUN} < set(known_keys(Config))
    for kind, partners in TUNING_OF.items():
        assert {key for partner in partners for key in partner.settings} < set(known_keys(kind))
