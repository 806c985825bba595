"""A protocol from outside: one module and one line of the table, and evaluation and pages know it."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_reports import CLASSES, Case, content, table
from oracles_diagnosis import random_scene

from detector import commands
from detector.choices import PROTOCOLS
from detector.config import Config, parse_config
from detector.errors import ConfigError
from detector.evaluation.evaluator import evaluate
from detector.evaluation.metrics import summary_text
from detector.evaluation.outcomes import match_detections
from detector.evaluation.weighted import class_ap
from detector.records import object_table
from detector.reports.detection.write import write_report

BOX, NEAR = (0.0, 0.0, 100.0, 100.0), (0.0, 0.0, 100.0, 70.0)  # IoU 0.7


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROTOCOLS, "toy", "toy_protocol")


def two_images() -> Case:
    """An object in each image, of which one is found exactly and one roughly."""
    flags = np.zeros(2, np.bool_)
    objects = object_table(np.array([0, 1]), np.array([BOX, BOX]), np.array([1, 1]), flags, flags)
    found = table((0, 1, 0.9, BOX), (1, 1, 0.8, NEAR))
    return Case(CLASSES, 2, objects, found, np.empty((0, 2), np.int64))


def test_its_average_precision_is_the_mean_over_its_own_ious() -> None:
    report = two_images().evaluate("toy")
    np.testing.assert_allclose(report.ap, [(1 + 0.5) / 2, np.nan, np.nan])
    assert report.mean_ap == pytest.approx(0.75)
    assert report.precision[0].tolist() == [1, 1]  # at the first IoU
    assert "0.7500" in summary_text(report, CLASSES)


@pytest.mark.parametrize("seed", range(10))
def test_resampled_images_are_judged_by_the_same_rule(seed: int) -> None:
    scene = random_scene(seed, difficult=True)
    report, matched = evaluate("toy", *scene), match_detections("toy", *scene)
    assert len(matched.outcomes) == 2
    np.testing.assert_allclose(report.ap, class_ap(matched), atol=1e-12)


def test_reports_are_about_it_or_show_it_beside_the_others(tmp_path: Path) -> None:
    for protocol, place in (("toy", tmp_path / "own"), ("voc2010", tmp_path / "other")):
        page = write_report(place, content(two_images(), protocol)).read_text()
        tree = json.loads((place / "metrics.json").read_text())
        trees = {tree["protocol"]: tree, **tree["protocols"]}
        assert set(trees) == set(PROTOCOLS)
        assert trees["toy"]["mean_ap"] == pytest.approx(0.75)
        assert "Toys<span" in page
        assert "| Toys | IoU 0.5 and 0.8 | 0.7500 |" in (place / "report.md").read_text().replace("**", "")
    assert "Toys: IoU 0.5 and 0.8" in (tmp_path / "own" / "index.html").read_text()
    assert "or more, at IoU 0.5;" in (tmp_path / "own" / "index.html").read_text()
    assert "or more;" in (tmp_path / "other" / "index.html").read_text()


def test_commands_and_settings_take_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 100]}],
    }
    found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 70], "score": 0.5}]
    for name, value in (("truth.json", tree), ("found.json", found)):
        (tmp_path / name).write_text(json.dumps(value))
    words = [f"--annotations={tmp_path}/truth.json", f"--detections={tmp_path}/found.json", f"--out={tmp_path}"]
    assert commands.main(["eval_det", "--format", "coco", "--protocol", "toy", *words]) == 0
    assert "0.5000" in capsys.readouterr().out
    assert parse_config(Config, {"evaluate": {"protocol": "toy"}}, "here").evaluate.protocol == "toy"
    wanted = r"^evaluate\.protocol must be ilsvrc, voc2007, voc2010, coco or toy, got 'toys' \(here\)$"
    with pytest.raises(ConfigError, match=wanted):
        parse_config(Config, {"evaluate": {"protocol": "toys"}}, "here")
