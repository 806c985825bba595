import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from detector.config import Config
from detector.errors import DataError
from detector.jobs import model_card as cards
from detector.runs.folder import RunFolder

NAMES = ["<script>alert(1)</script>", "a|b", "[x](javascript:alert(1))", "`tick`", "*bold*", "traffic_light"]
SHOWN = [
    "&lt;script>alert(1)&lt;/script>",
    r"a\|b",
    r"\[x\](javascript:alert(1))",
    r"\`tick\`",
    r"\*bold\*",
    "traffic_light",
]
METRICS = {
    "protocol": "voc2010",
    "mean_ap": 0.5,
    "classes": [{"name": name, "ap": 0.5, "objects": 3, "more": 1} for name in NAMES],
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run with a report of classes that are called like markup."""
    monkeypatch.setattr(
        cards, "load_model", lambda path: (nn.Linear(2, 2), None, {"classes": NAMES, "hash": "`<"})
    )
    write(tmp_path, "report/metrics.json", METRICS)
    write(tmp_path, "report/methods.json", {"softmax": 0.5, "<b>": None})
    write(
        tmp_path, "environment.json", {"commit": "`<x>`", "processor": "<i>", "accelerators": [], "packages": {}}
    )
    return RunFolder(tmp_path)


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(value))


def config(**values: Any) -> Config:
    return Config.model_validate(
        {"name": "<b>*x*", "data": {"root": "/data/<u>", "train": ["a`b"], "test": ["|"]}, **values}
    )


def test_no_name_is_markup(run: RunFolder) -> None:
    card = cards.model_card(run, config())
    assert card.startswith(r"# &lt;b>\*x\*: an object detector of 6 classes")
    assert ", ".join(SHOWN) in card
    for shown in SHOWN:
        assert f"| {shown} | 0.5000 | 3 |" in card
    assert "commit `` `<x>` ``, torch unknown, on &lt;i>" in card
    assert "- Data: &lt;u> (ilsvrc), trained on ``a`b``, tested on `|`" in card
    outside_code = "".join(card.replace("``", "`").split("`")[::2])
    assert "<" not in outside_code.replace("\\", "")


def test_the_card_tells_where_the_network_was_trained_and_not_where_all_was_found_done(run: RunFolder) -> None:
    for stated, told in (
        ({"commit": "then", "processor": "P"}, "`then`, torch unknown, on P"),
        (7, "`` `<x>` ``,"),
    ):
        result = run.stage("finetune").result(1, stated=str(stated))
        result.begin()
        result.finish(environment=stated)
        assert f"- Code: commit {told}" in cards.model_card(run, config())


def test_the_card_names_the_network_that_it_is_of(run: RunFolder) -> None:
    card = cards.model_card(run, config(network={"variant": "resnet50"}))
    assert card.splitlines()[2].startswith("ResNet-50 (0.0 million parameters) scores regions")


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("report/metrics.json", [], "its beginning"),
        ("report/metrics.json", {**METRICS, "protocol": "voc"}, "protocol"),
        ("report/metrics.json", {**METRICS, "classes": [{}]}, "classes.0.name"),
        ("report/methods.json", {"softmax": "high"}, "softmax"),
        ("environment.json", {"packages": 3}, "packages"),
    ],
)
def test_a_file_that_is_not_the_run_s_is_named(run: RunFolder, name: str, value: Any, place: str) -> None:
    write(run.path, name, value)
    with pytest.raises(DataError) as caught:
        cards.model_card(run, config())
    assert (
        str(caught.value)
        == f"{name} must be as the run wrote it, got something else at {place} ({run.path / name})"
    )
