from pathlib import Path
from typing import Any

import pytest

from detector.config import RegionSettings
from detector.errors import ConfigError, DataError
from detector.networks.weight_files.model_facts import ModelFacts

PATH = Path("m.safetensors")
DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]
ANY: list[Any] = [None, True, 7, -1, float("nan"), float("inf"), 10**400, "text", "", [], [7], {}, {"a": 1}, DEEP]


def test_a_file_that_states_nothing_gets_what_is_usual() -> None:
    assert ModelFacts.of({}, PATH) == ModelFacts(None, RegionSettings(), 224, "", "")


def test_all_that_is_stated_is_read_and_what_is_unknown_is_left_alone() -> None:
    region = RegionSettings(crop_size=64, padding=3)
    stated = {
        "classes": ["cat", "dog"],
        "wnids": ["n1", "n2"],
        "region": region.model_dump(),
        "crop_size": 32,
        "config": "name: a\n",
        "hash": "12",
        "kind": "of later versions",
    }
    facts = ModelFacts.of(stated, PATH)
    assert facts.classes is not None
    assert (facts.classes.names, facts.classes.wnids) == (("cat", "dog"), ("n1", "n2"))
    assert (facts.region, facts.crop_size, facts.config, facts.hash) == (region, 32, "name: a\n", "12")


@pytest.mark.parametrize("value", ANY, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("field", ["classes", "wnids", "region", "crop_size", "config", "hash"])
def test_a_field_of_anything_else_is_named(field: str, value: Any) -> None:
    right: dict[str, tuple[Any, ...]] = {
        "region": ({},),
        "config": ("text", ""),
        "hash": ("text", ""),
        "wnids": ([],),
    }
    if value in right.get(field, ()):
        ModelFacts.of({"classes": ["cat"], field: value}, PATH)
        return
    with pytest.raises((ConfigError, DataError)) as caught:
        ModelFacts.of({"classes": ["cat"], field: value}, PATH)
    message = str(caught.value)
    assert field in message or "class" in message
    assert "m.safetensors" in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"classes": ["cat", 7]}, r"classes must be a list of names, got \['cat', 7\] \(m\.safetensors\)"),
        ({"classes": "cat"}, r"classes must be a list of names, got 'cat' \(m\.safetensors\)"),
        ({"classes": None}, r"classes must be a list of names, got None \(m\.safetensors\)"),
        ({"classes": ["cat", "cat"]}, r".*'cat' twice \(classes of m\.safetensors\)"),
        ({"classes": ["cat"], "wnids": ["n1", "n2"]}, r".*got 2 for 1 \(classes of m\.safetensors\)"),
        ({"classes": []}, r".*at least one class, got none \(classes of m\.safetensors\)"),
        ({"config": None}, r"config must be text, got None \(m\.safetensors\)"),
    ],
)
def test_wrong_names_and_texts_are_one_line(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}$"):
        ModelFacts.of(stated, PATH)


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ({"region": {"crop_size": "wide"}}, "region.crop_size"),
        ({"region": {"crop_size": 10**9}}, "region.crop_size"),
        ({"region": {"padding": 200}}, "padding"),
        ({"region": {"colour": 1}}, "region.colour"),
        ({"crop_size": 31}, "crop_size"),
        ({"crop_size": 10**9}, "crop_size"),
    ],
)
def test_sizes_obey_the_rules_of_settings(stated: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelFacts.of(stated, PATH)
    assert key in str(caught.value)
    assert str(caught.value).partition("; did")[0].endswith("(m.safetensors)")
