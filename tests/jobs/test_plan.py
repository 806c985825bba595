from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from detector.config import Config, check_partners, idle_lines
from detector.errors import ConfigError
from detector.jobs import plan_choice
from detector.jobs.plan import (
    COMMON,
    LEVELS,
    SCRATCH_LEVELS,
    ImageRates,
    Level,
    LevelRates,
    Numbers,
    expected,
    fitted_steps,
    for_crowds,
    least_steps,
    merged,
    suited,
    whole_steps,
)
from detector.jobs.plan_choice import Chooser
from detector.jobs.plan_rates import Sample
from detector.jobs.wish import Wish
from detector.runs.processes import alone

NUMBERS = Numbers(train=160, test=40, objects=173, classes=1)
IMAGES = ImageRates(decode=0.02, search=0.1, regions=600.0, pairs=10.0, multiply_add=0.0)


def config_of(*trees: Mapping[str, Any]) -> Config:
    return Config.model_validate(merged(COMMON, *trees))


def build(level: Level, steps: int, **overrides: Any) -> Config:
    return config_of(level.settings, {"finetune": {"steps": steps, "warmup": 1}}, overrides)


def test_a_stage_s_seconds_are_its_work_by_the_rates() -> None:
    config = config_of({"finetune": {"steps": 100}})
    seconds = expected(config, NUMBERS, IMAGES, LevelRates(step=2.0, image=0.5, region=0.01, start=3.0))
    assert seconds["propose"] == pytest.approx(20)
    assert seconds["train"] == pytest.approx(206)
    assert seconds["boxes"] == pytest.approx(3 + 1600 * 0.01)  # crops: of the pairs alone
    assert seconds["test"] == pytest.approx(3 + 40 * (0.5 + 6))
    shared = config_of(LEVELS[-1].settings, {"finetune": {"steps": 100}})
    seconds = expected(shared, NUMBERS, IMAGES, LevelRates(2.0, 0.5, 0.01, 3.0))
    assert seconds["boxes"] == pytest.approx(3 + 40 * 0.5 + 400 * 80 / 600 * 0.01)
    assert seconds["test"] == pytest.approx(3 + 40 * (0.5 + 0.8))
    assert "boxes" not in expected(
        config_of({"boxes": {"enabled": False}}), NUMBERS, IMAGES, LevelRates(1, 1, 1, 1)
    )


def test_no_more_stages_are_frozen_than_a_network_has() -> None:
    frozen = [
        {suited(level, variant).settings["finetune"]["frozen_stages"] for level in LEVELS}
        for variant in ("tiny", "paper")
    ]
    assert frozen == [{0}, {2}]
    for level in LEVELS:
        assert suited(level, "paper").name == level.name
        assert build(suited(level, "paper"), 30).region == build(level, 30).region


def test_images_of_many_objects_get_as_many_more_regions_where_these_are_limited() -> None:
    few, many = replace(NUMBERS, train=100, objects=400), replace(NUMBERS, train=100, objects=1430)
    assert [for_crowds(level, few) for level in LEVELS] == list(LEVELS)
    crowded = [for_crowds(level, many) for level in LEVELS]
    assert crowded[0] == LEVELS[0]
    assert [level.settings["proposals"]["max_boxes"] for level in crowded[1:]] == [1070, 540, 290]
    assert crowded[2].name == "maps shared at 300 pixels, 540 regions an image"
    assert [build(level, 30).region for level in crowded] == [build(level, 30).region for level in LEVELS]


def test_images_that_cannot_be_kept_are_read_again_and_svms_look_at_their_own() -> None:
    rates = LevelRates(2.0, 0.5, 0.01, 3.0)
    config = config_of(
        {
            "finetune": {"steps": 100},
            "engine": {"workers": 2},
            "svm": {"enabled": True, "images": 9},
            "detect": {"nms": "greedy"},
        }
    )
    seconds = expected(config, replace(NUMBERS, unkept=0.5), IMAGES, rates)
    assert seconds["train"] == pytest.approx(6 + 100 * (2 + 128 * 0.5 * 0.02 / 2))
    assert seconds["svm"] == pytest.approx(3 + 9 * 6.5)


def test_steps_fill_the_time_up_to_a_whole_training() -> None:
    assert whole_steps(400, 16) == 1000
    assert whole_steps(10, 16) == 200
    assert fitted_steps(lambda steps: 100 + 2 * steps, 16, 400, 347) == 120
    assert fitted_steps(lambda steps: 100 + 2 * steps, 16, 400, 1e6) == 1000
    assert fitted_steps(lambda steps: 100 + 2 * steps, 16, 400, 50) < 0


def choose(
    monkeypatch: pytest.MonkeyPatch, seconds: float, minutes: float | None, speed: float = 0.5, **given: Any
) -> Any:
    """The plan where a level's rates fall from one to the next."""
    rates = {id(level): speed / 2**row for row, level in enumerate(LEVELS)}
    tried: list[str] = []

    def measure(config: Config, sample: object, group: object) -> LevelRates:
        level = next(each for each in LEVELS if build(each, 1, **given) == config)
        tried.append(level.name)
        return LevelRates(4 * rates[id(level)], 0.1, 0.01 * rates[id(level)], 1.0)

    monkeypatch.setattr(plan_choice, "measure_level", measure)
    monkeypatch.setattr(Chooser, "_is_hopeless", lambda *_: False)

    measured = cast(Sample, SimpleNamespace(rates=IMAGES))
    chooser = Chooser(
        lambda level, steps: build(level, steps, **given), NUMBERS, measured, alone(), lambda: seconds
    )
    return chooser.choose(LEVELS, minutes), tried


def test_the_first_level_with_enough_steps_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, tried = choose(monkeypatch, 1e6, 1e6 / 60)
    assert (plan.level, plan.steps, tried) == (LEVELS[0], 430, [LEVELS[0].name])
    plan, tried = choose(monkeypatch, 600, 10)
    assert (plan.level, tried) == (LEVELS[1], [LEVELS[0].name])  # fewer regions of the same maps: one measure
    assert plan.steps >= 3200 / 16
    assert plan.total <= 600


def test_where_none_has_enough_the_one_nearest_to_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, tried = choose(monkeypatch, 160, 3, speed=3)
    assert len(tried) == len(LEVELS) - 1  # two differ in their regions alone, and are measured once
    assert plan.level == LEVELS[-1]
    assert least_steps(8) <= plan.steps < 400
    assert plan.total <= 160


def test_too_few_minutes_are_told_with_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        Exception, match=r"^--minutes must be at least 1.0 for these data on this machine, got 0\.5$"
    ):
        choose(monkeypatch, 30, 0.5)
    plan, _ = choose(monkeypatch, 30, None)
    assert plan.steps == least_steps(8)  # nobody said how many minutes there are


def test_steps_of_the_user_s_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = choose(monkeypatch, 1e6, 1e6 / 60, finetune={"steps": 7, "warmup": 1})
    assert plan.steps == 7


@pytest.mark.parametrize("level", [*LEVELS, *SCRATCH_LEVELS], ids=lambda level: level.name)
def test_every_level_is_one_that_can_be_trained(level: Level) -> None:
    config = build(level, 30)
    assert config.finetune.steps == 30
    assert config.finetune.positives * 2 <= config.finetune.batch_size


@pytest.mark.parametrize(
    ("words", "nms"),
    [
        ([], "soft_linear"),
        (["svm.enabled=false"], "soft_linear"),
        (["svm.enabled=true"], "greedy"),
        (["svm={enabled: true}"], "greedy"),
        (["detect.nms=soft_gaussian"], "soft_gaussian"),
    ],
)
def test_svms_that_are_asked_for_bring_the_suppression_that_they_need(words: list[str], nms: str) -> None:
    config = Wish(Path("mine"), overrides=words).settings(merged(COMMON, LEVELS[0].settings))
    assert config.detect.nms == nms
    assert config.detect.voting_iou == 0.65


def test_crops_that_are_asked_for_are_not_zoomed() -> None:
    level = LEVELS[0].settings
    assert Wish(Path("mine")).settings(merged(COMMON, level)).finetune.zoom == 0.4
    assert Wish(Path("mine"), overrides=["region.mode=warp"]).settings(merged(COMMON, level)).finetune.zoom == 0


@pytest.mark.parametrize("level", [*LEVELS, *SCRATCH_LEVELS], ids=lambda level: level.name)
def test_a_plan_has_no_setting_without_its_partner_whatever_is_turned_off(level: Level) -> None:
    planned = merged(COMMON, level.settings)
    assert idle_lines(Wish(Path("mine")).settings(planned)) == []
    for words in (["boxes.enabled=false"], ["region.mode=warp"], ["finetune.optimizer=sgd"], ["svm.enabled=true"]):
        check_partners(Wish(Path("mine"), overrides=words).settings(planned))


def test_svms_with_another_suppression_are_refused_in_a_line() -> None:
    wish = Wish(Path("mine"), overrides=["svm.enabled=true", "detect.nms=soft_linear"])
    with pytest.raises(ConfigError, match="nms must be greedy for SVMs"):
        wish.settings(merged(COMMON, LEVELS[0].settings))
