"""The page's own selection and sentences: the same as the library's, on the same numbers."""

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_traces import KINDS, Case, random_case

from detector.evaluation.explained import Selection, Verdict
from detector.inference.select_traced import trace_selection
from detector.inference.verdicts import figure, judge
from detector.records import Array

TEMPLATES = Path(__file__).parents[2] / "detector" / "reports" / "templates"
CALL = """
function plain(text) {
  const { trace, limits, settings, objects } = JSON.parse(text);
  const types = {
    boxes: Float32Array, rounds: Uint8Array, cascade: Float32Array, background: Float32Array,
    topLabels: Uint32Array, topScores: Float32Array, rows: Uint32Array, columns: Uint32Array,
    scores: Float32Array, moved: Float32Array, before: Float32Array, rescored: Float32Array,
  };
  for (const [name, Type] of Object.entries(types)) trace[name] = trace[name] && Type.from(trace[name]);
  const selection = Explain.select(trace, limits, settings);
  const { verdicts, on } = Explain.judge(trace, selection, limits, settings, objects);
  const { status, by, overlaps, detections } = selection;
  return JSON.stringify({ status: [...status], by: [...by], overlaps: [...overlaps], detections, verdicts, on });
}
function figures(text) { return JSON.stringify(JSON.parse(text).map(Explain.figure)); }
"""


@cache
def page() -> Any:
    racer = pytest.importorskip("py_mini_racer")
    context = racer.MiniRacer()
    context.eval((TEMPLATES / "explain_logic.js").read_text(encoding="utf-8") + CALL)
    return context


def listed(array: Array | None) -> Any:
    return None if array is None else np.where(np.isfinite(array), array, 0).ravel().tolist()


def of_page(case: Case) -> dict[str, Any]:
    trace, limits, settings = case.trace, case.limits, case.settings
    arrays: dict[str, Array | None] = {
        "boxes": trace.boxes,
        "rounds": trace.rounds,
        "cascade": trace.cascade,
        "background": trace.background,
        "topLabels": trace.top_labels,
        "topScores": trace.top_scores,
        "rows": trace.rows,
        "columns": trace.columns,
        "scores": trace.scores,
        "moved": trace.moved,
        "before": trace.before,
        "rescored": trace.rescored,
    }
    content = {
        "trace": {
            **{name: listed(array) for name, array in arrays.items()},
            "classes": trace.classes,
            "tops": trace.top_labels.shape[1],
            "scored": trace.scored,
            "floor": trace.floor,
            "bySvm": trace.by_svm,
        },
        "limits": {"minScore": limits.min_score, "nmsIou": limits.nms_iou, "regions": limits.regions},
        "settings": {
            "nms": settings.nms,
            "softSigma": settings.soft_sigma,
            "votingIou": settings.voting_iou,
            "maxPerImage": settings.max_per_image,
        },
        "objects": [{"name": each.name, "box": each.box, "counts": each.counts} for each in case.objects],
    }
    return json.loads(page().call("plain", json.dumps(content)))


def of_library(case: Case) -> tuple[Selection, list[Verdict], list[int]]:
    selection = trace_selection(case.trace, case.limits, case.settings)
    verdicts, matched = judge(case.trace, selection, case.limits, case.settings, case.objects)
    return selection, verdicts, matched.on.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_selects_and_says_the_same_as_the_library(kind: str) -> None:
    for seed in range(60):
        case = random_case(seed, kind)
        found = of_page(case)
        selection, verdicts, on = of_library(case)
        assert found["status"] == selection.status.tolist()
        assert found["by"] == selection.by.tolist()
        assert found["overlaps"] == selection.overlaps.tolist()
        assert [each["candidate"] for each in found["detections"]] == selection.detections.tolist()
        assert [each["box"] for each in found["detections"]] == selection.boxes.tolist()
        assert [each["score"] for each in found["detections"]] == selection.scores.tolist()
        assert found["on"] == on
        for own, verdict in zip(found["verdicts"], verdicts, strict=True):
            assert own["text"] == verdict.text
            assert own["kind"] == verdict.kind
            numbers = (own["bestRegion"], own["bestIou"], own["region"], own["candidate"], own["detection"])
            assert numbers == tuple(verdict[4:])


def test_the_random_cases_meet_every_reason() -> None:
    kinds = Counter(
        verdict.kind for kind in KINDS for seed in range(60) for verdict in of_library(random_case(seed, kind))[1]
    )
    wanted = "found ignored unknown neighbour voted left_out context suppressed lowered background class under"
    assert set(kinds) == {*wanted.split(), "regressed", "cascade", "rank", "region"}


def test_the_page_writes_numbers_as_the_library_does() -> None:
    random = np.random.default_rng(0)
    hundredths = [k / 100 for k in range(-101, 102)]
    values = [*hundredths, 0.0004, 1e-5, 0.12345, 0.999999, *random.normal(0, 1, 200), *random.random(200) ** 4]
    values = [float(value) for value in values]
    assert json.loads(page().call("figures", json.dumps(values))) == [figure(value) for value in values]
