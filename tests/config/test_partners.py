"""Settings that count only with another."""

from pathlib import Path

import pytest

from detector.config import Config, check_partners, dump_config, idle_lines, load_config, parse_config
from detector.config.explain import known_keys
from detector.config.partners import ASKING, TUNING
from detector.config.yaml_text import read_yaml_text
from detector.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
OF_DETECTORS = [path for path in CONFIGS if "tools/train_det.py" in path.read_text()]
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
    tree: dict[str, object] = {}
    for word in words.split():
        key, value = word.split("=")
        *sections, name = key.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})  # type: ignore[assignment]
        branch[name] = read_yaml_text(value, "", "")
    return parse_config(Config, tree, "x.yaml")


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


@pytest.mark.parametrize("path", OF_DETECTORS, ids=lambda path: path.stem)
def test_no_config_of_the_project_has_a_setting_without_its_partner(path: Path) -> None:
    config = load_config(Config, path)
    check_partners(config)
    assert idle_lines(config) == []


def test_the_published_settings_have_nothing_to_tell() -> None:
    check_partners(Config())
    assert idle_lines(Config()) == []


def test_every_setting_with_a_partner_is_a_setting() -> None:
    named = {key for partner in (*ASKING, *TUNING) for key in partner.settings}
    assert named < set(known_keys(Config))
