"""Detections made by other settings than their run's are told from its own."""

from pathlib import Path

import pytest

from detector.config import Config, parse_config
from detector.jobs.made_detections import other_settings
from detector.runs.folder import RunFolder
from detector.runs.stage import Result, Stage


def config_of(**sections: dict[str, object]) -> Config:
    return parse_config(Config, sections, "test")


def finished(stage: Stage, **reads: object) -> Result:
    result = stage.result(1, **reads)
    result.begin()
    result.finish()
    return result


@pytest.mark.parametrize("keep", [0, 30])
def test_what_detections_were_made_with_is_told_where_the_run_s_settings_are_others(
    keep: int, tmp_path: Path
) -> None:
    run, made = RunFolder(tmp_path), config_of(cascade={"keep": keep})
    proposals = made.proposals.model_dump(exclude={"multibox": {"weights"}, "given": True})
    regions = finished(run.stage("propose", "val"), settings=proposals, seed=0).key
    if keep:
        regions = finished(run.stage("filter", "val"), regions=regions, keep=keep, nms_iou=0.8).key
    stage = run.stage("detect", "val", "softmax")
    finished(stage, regions=regions, detect=made.detect.model_dump(exclude={"method"}))
    assert other_settings(run, made, stage.facts()) == []
    other = config_of(
        cascade={"keep": 9},
        detect={"nms_iou": 0.4, "max_per_class": 5, "method": "svm"},
        proposals={"max_boxes": 7, "multibox": {"scales": [1]}},
        svm={"enabled": True},
        evaluate={"pictures": 1},
    )
    assert other_settings(run, other, stage.facts()) == [
        "detect.nms_iou 0.3, not 0.4",
        f"cascade.keep {keep}, not 9",
        "proposals.max_boxes 0, not 7",
        "proposals.multibox.scales [1, 2], not [1]",
    ]


@pytest.mark.parametrize("facts", [{}, {"reads": None}, {"reads": {"regions": "gone", "detect": None}}])
def test_detections_that_state_nothing_are_taken_as_they_are(facts: dict[str, object], tmp_path: Path) -> None:
    assert other_settings(RunFolder(tmp_path), Config(), facts) == []
