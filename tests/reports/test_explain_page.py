"""The pages of explanations: whole, small, and at work in a browser."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import browser_tab
from html_pages import Page
from made_runs import write_run
from random_traces import KINDS, random_case

from detector import load_detector
from detector.config import DetectSettings, ProposalSettings
from detector.evaluation.explained import Explanation, KnownObject, Limits, Trace
from detector.inference.image_trace import Steps, trace_of
from detector.inference.iterate import Round
from detector.inference.score import unrefined
from detector.inference.select_traced import trace_selection
from detector.inference.verdicts import judge
from detector.proposals.search_levels import search_levels
from detector.records import Image
from detector.reports.explain import page_data
from detector.reports.explain.explanation_pages import PageLink, summary, write_index, write_page
from detector.reports.explain.page_data import packed

ODD = "</script><b>cat & dog"
OBJECTS = [
    KnownObject("cat", (10, 10, 90, 90)),
    KnownObject(ODD, (60, 30, 155, 115)),
    KnownObject("cow", (1, 1, 9, 9)),
]
SEARCH = ProposalSettings(superpixel_scale=8, width=160)
READY = """
while (!document.documentElement.dataset.ready) await new Promise((go) => setTimeout(go, 20));
"""
PLACE = """
const canvas = document.getElementById("picture");
canvas.scrollIntoView();
const { left, top, width } = canvas.getBoundingClientRect();
return [left, top, width / 160];
"""
CROPS = """
const { drawCrop, loadImage, boxAt, unpackTrace, windowOf } = ExplainView;
const data = JSON.parse(document.getElementById("explain-data").textContent);
const trace = unpackTrace(data.trace), picture = await loadImage(data.picture);
const pixels = (crop, facts) => {
  const canvas = document.createElement("canvas");
  drawCrop(canvas, crop, facts);
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
};
const found = [];
for (const { region, crops, side, paddings } of data.seen) {
  const box = boxAt(trace.boxes, region), padding = paddings[0], facts = { side, padding };
  const given = pixels({ image: await loadImage(crops[0]) }, facts);
  const window = windowOf(box, side, padding), scale = trace.width / picture.width;
  const drawn = pixels({ window, picture, scale }, facts);
  const isInside = window[0] > 0 && window[1] > 0 && window[2] < trace.width && window[3] < trace.height;
  const apart = given.reduce((sum, value, place) => sum + Math.abs(value - drawn[place]), 0);
  if (isInside) found.push(apart / given.length);
}
return found;
"""
TRIAL = """
const at = (id) => document.getElementById(id);
const told = {};
const settle = () => new Promise((go) => setTimeout(go, 200));
const slide = async (id, value) => {
  at(id).value = value;
  at(id).dispatchEvent(new Event("input"));
  await settle();
};
const press = async (element, key, more = {}) => {
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  await settle();
};
const texts = () => [...at("objects-list").querySelectorAll("li")].map((item) => item.textContent);
const isShown = (id) => !at(id).hidden;
told.objects = texts();
await slide("score", 0);
told.least = at("score-value").textContent;
told.loose = at("summary").textContent;
await slide("score", 1);
told.strict = at("summary").textContent;
at("reset").click();
await settle();
told.again = texts();
await slide("regions", 1);
told.few = texts();
await slide("iou", 1);
at("reset").click();
await settle();
for (const name of ["search", "proposals", "network", "boxes"]) {
  at(`tab-${name}`).click();
  await settle();
  told[name] = [isShown(name), isShown("objects"), at(`tab-${name}`).getAttribute("aria-selected")];
}
at("tab-search").click();
await settle();
await slide("merges", 3);
told.merges = at("merges-value").textContent;
at("tab-network").click();
await settle();
told.crops = at("crops").querySelectorAll("canvas").length;
at("scores").querySelector("button").click();
await settle();
told.heat = at("scores").querySelector("button").getAttribute("aria-pressed");
await press(at("tab-network"), "ArrowRight");
told.right = isShown("boxes");
await press(document.body, "2");
told.two = isShown("proposals");
const all = at("proposals-text").textContent;
at("picture").focus();
await press(at("picture"), "Enter");
await press(at("picture"), "ArrowLeft");
await press(at("picture"), "ArrowDown", { shiftKey: true });
told.near = [all, at("proposals-text").textContent, at("drawn-text").textContent];
await press(at("picture"), "Enter");
told.yours = texts().at(-1);
told.isWide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
return told;
"""


@pytest.fixture(scope="module")
def picture() -> Image:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(20, 0).repeat(20, 1)


@pytest.fixture(scope="module")
def page(picture: Image, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Explanation]:
    """A page, and what it shows, of a detector with boxes that nobody trained."""
    folder = tmp_path_factory.mktemp("page")
    run = write_run(folder / "run", "boxes.enabled=true", classes=("cat", ODD))
    detector = load_detector(run.path)
    explanation = detector.explain(picture, OBJECTS, 0.4)
    path, levels = folder / "a page.html", search_levels(picture, SEARCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_data, "PICTURE_SIDE", 80)  # half of the image's
        write_page(path, 'the "<i>first"', picture, explanation, detector.settings, levels, {"Run": "<b>"})
    return path, explanation


def data_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8").split('id="explain-data">')[1].split("</script>")[0])


def test_the_page_is_well_formed_and_needs_no_other_file(page: tuple[Path, Explanation]) -> None:
    text = page[0].read_text(encoding="utf-8")
    found = Page(text)
    assert found.open == []
    assert all(address.startswith(("data:image/", "#")) for address in found.addresses)
    assert len(set(found.names)) == len(found.names)
    assert not re.search(r"https?://|@import|<link|fetch\(|XMLHttpRequest", text)
    assert "<b>cat" not in text
    assert "<i>first" not in text
    labelled = re.findall(r'aria-(?:controls|labelledby|describedby)="([^"]+)"', text)
    assert set(labelled) <= set(found.names)


def test_the_page_holds_the_numbers_as_they_are(page: tuple[Path, Explanation]) -> None:
    path, explanation = page
    data, trace = data_of(path), explanation.trace
    assert data["trace"]["scores"] == packed(trace.scores, np.float32)
    assert data["trace"]["moved"] == packed(trace.moved, np.float32)
    assert data["limits"] == {"minScore": 0.4, "nmsIou": 0.3, "regions": trace.scored}
    assert data["verdicts"] == [each.text for each in explanation.verdicts]
    assert {each["region"] for each in data["seen"]} == {each.region for each in explanation.seen}


def test_a_page_of_many_regions_and_classes_stays_small(tmp_path: Path, picture: Image) -> None:
    random = np.random.default_rng(0)
    corner = random.random((5000, 2)) * 400
    boxes = np.concatenate([corner, corner + 20 + random.random((5000, 2)) * 80], 1).astype(np.float32)
    scores = random.dirichlet(np.full(201, 0.1), 5000)[:, 1:].astype(np.float32)
    found = unrefined(boxes, scores)
    names = tuple(f"class {number}" for number in range(200))
    trace = trace_of(Steps(boxes, [Round(boxes, found)], found, found), names, (500, 500), False, 1e-3)
    assert trace.floor > 1e-3
    large = random.integers(0, 256, (1000, 1000, 3), np.uint8)  # noise, which no JPEG makes small
    path = tmp_path / "large.html"
    write_page(
        path, "large", large, explanation_of(trace, 0.5), DetectSettings(), search_levels(picture, SEARCH), {}
    )
    assert path.stat().st_size < 5_000_000


def explanation_of(trace: Trace, least: float) -> Explanation:
    limits = Limits(least, 0.3, trace.scored)
    return Explanation(trace, limits, trace_selection(trace, limits, DetectSettings()), (), (), (), ())


def test_an_image_without_anything_has_a_page(tmp_path: Path, picture: Image) -> None:
    trace = random_case(0, "plain", floor=1.0).trace
    explanation = explanation_of(trace, 1.0)
    assert summary(explanation) == f"{len(explanation.detections)} detections"
    write_page(tmp_path / "empty.html", "empty", picture, explanation, DetectSettings(), [], {})
    text = (tmp_path / "empty.html").read_text()
    assert Page(text).open == []
    assert 'id="search"' not in text


def test_the_index_names_every_page(tmp_path: Path) -> None:
    pages = [
        PageLink("a 1#.html", "<i>a", "1 of 2 found, 0 false", "data:image/jpeg;base64,"),
        PageLink("b.html", "b", "", ""),
    ]
    text = write_index(tmp_path, "Explained", pages, "../index.html").read_text()
    found = Page(text)
    assert found.open == []
    assert {"a%201%23.html", "b.html", "../index.html"} <= set(found.addresses)
    assert "<i>a" not in text


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_works_in_a_browser(
    page: tuple[Path, Explanation], tmp_path: Path, width: int, dark: bool
) -> None:
    path, explanation = page
    with browser_tab(tmp_path) as tab:
        tab.open(path, width, dark=dark)
        told = tab.run(READY + TRIAL)
        apart = tab.run(READY + CROPS)
        left, top, scale = tab.run(PLACE)
        tab.drag((left + 20 * scale, top + 30 * scale), (left + 100 * scale, top + 90 * scale))
        drawn = tab.run('return document.getElementById("drawn-text").textContent;')
    assert re.fullmatch(r"80 . 60 px", drawn)
    assert max(apart) < 20  # of 255; crops of other places differ by 60
    for text, verdict in zip(told["objects"], explanation.verdicts, strict=True):
        assert verdict.text in text
    assert told["again"] == told["objects"]
    assert float(told["least"]) == pytest.approx(0.0)
    assert told["strict"] == "0 of 3 found, 0 false"
    assert told["loose"] != told["strict"]
    assert told["few"] != told["objects"]
    for name in ("search", "proposals", "network", "boxes"):
        assert told[name] == [True, False, "true"]
    assert told["merges"].startswith("3 of ")
    assert (told["crops"], told["heat"], told["right"], told["two"]) == (1, "true", True, True)
    before, after, size = told["near"]
    assert before != after
    assert "overlap your box" in after
    assert re.fullmatch(r"40 . 32 px", size)
    assert "(yours)" in told["yours"]
    assert not told["isWide"]


EVERYTHING = """
for (const tab of document.querySelectorAll('[role="tab"]')) {
  tab.click();
  await new Promise((go) => setTimeout(go, 50));
  const buttons = document.querySelectorAll(".list button, .scores button");
  buttons.forEach((button) => button.isConnected && button.click());
}
return document.getElementById("summary").textContent;
"""


def test_the_pages_of_every_kind_of_detector_work_in_a_browser(tmp_path: Path, picture: Image) -> None:
    with browser_tab(tmp_path / "profile") as tab:
        for kind in KINDS:
            case = random_case(5, kind)
            selection = trace_selection(case.trace, case.limits, case.settings)
            verdicts, _ = judge(case.trace, selection, case.limits, case.settings, case.objects)
            told = Explanation(case.trace, case.limits, selection, (), tuple(case.objects), tuple(verdicts), ())
            path = tmp_path / f"{kind}.html"
            write_page(path, kind, picture, told, case.settings, [], {})
            tab.open(path)
            found = sum(verdict.kind == "found" for verdict in verdicts)
            counted = sum(verdict.kind != "ignored" for verdict in verdicts)
            assert tab.run(READY + EVERYTHING).startswith(f"{found} of {counted} found")
