"""The page on explanations: its Python runs, and it names what there is."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from made_runs import write_run

from detector.evaluation.explained import (
    ClassScore,
    ExplainedDetection,
    Explanation,
    Kind,
    SeenRegion,
    Selection,
    SuppressedBox,
    Verdict,
)
from detector.synthetic.detection_set import make_dataset

PAGE = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")


def test_the_block_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(tmp_path / "datasets" / "demo", images=1, classes=5, seed=0, val=5, mean_width=100)
    write_run(tmp_path / "runs" / "demo")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert capsys.readouterr().out.startswith(names["told"].verdicts[0].kind)


def test_every_reason_has_its_row() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)) - {"kind"} == set(get_args(Kind))


def test_every_field_that_is_named_is_there() -> None:
    named = set(re.findall(r"`([a-z_]+)`", PAGE.split("## In Python")[1]))
    records = (Verdict, ExplainedDetection, SuppressedBox, ClassScore)
    known = {name for record in records for name in record._fields}
    for record in (Explanation, SeenRegion, Selection):
        known |= {field.name for field in fields(record)}
    assert named - {"explain", "detect", "draw"} <= known
    assert {field.name for field in fields(Explanation)} <= named
    assert set(Verdict._fields) <= named
