import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from html_pages import Page
from made_reports import BOX, CLASSES, FOUND, case, content, everything, table, two_hundred_classes
from oracles_diagnosis import random_scene

from detector.choices import PROTOCOLS
from detector.data.classes import ClassList
from detector.evaluation.metrics import metrics_tree
from detector.evaluation.outcomes import NO_BLACKLIST
from detector.records import take
from detector.reports.detection.analysis import Case
from detector.reports.detection.drawn_images import worst_positions
from detector.reports.detection.picture_choice import choose_pictures, count_images, draw_image
from detector.reports.detection.plots import confusion_uri, false_positives_svg, training_svgs
from detector.reports.detection.report import TrainingLog
from detector.reports.detection.texts import cards, duration, size_text
from detector.reports.detection.to_json import json_text, report_tree
from detector.reports.detection.write import write_report


def test_tree_keeps_the_plain_metrics_and_adds_what_was_counted() -> None:
    tree = report_tree(content(case(*FOUND)))
    plain = metrics_tree(case(*FOUND).evaluate("voc2010"), CLASSES)
    assert {key: tree[key] for key in plain if key != "classes"} == {
        k: v for k, v in plain.items() if k != "classes"
    }
    for row, expected in zip(tree["classes"], plain["classes"], strict=True):
        assert row.items() >= expected.items()
    apple, pear, plum = tree["classes"]
    assert (apple["best_f1"], apple["best_f1_score"]) == (pytest.approx(2 * 2 / (3 + 3)), pytest.approx(0.7))
    assert (apple["best_f1_precision"], apple["best_f1_recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (pear["best_f1"], pear["ap_interval"]) == (None, [None, None])
    assert plum["ap_by_size"] == {"small": None, "medium": 1.0, "large": None}
    assert tree["images"] == 4
    assert set(tree["protocols"]) == {"ilsvrc", "voc2007", "coco"}
    assert len(tree["protocols"]["coco"]["coco"]) == 12
    low, high = tree["mean_ap_with_objects_interval"]
    assert low < tree["mean_ap"] < high
    assert tree["confusion"] == {"object": [0, 1, 1, 3], "detection": [3, 0, 1, 1], "count": [1, 1, 2, 1]}
    assert tree["errors"]["counts"] == {"Cls": 1, "Loc": 0, "Both": 0, "Dupe": 0, "Bkg": 1, "Miss": 1}
    assert tree["false_positives"]["count"] == [0, 1, 1]
    assert [row["objects"] for row in tree["ap_by_size"]] == [0, 4, 0]
    assert tree["ap_by_size"][-1]["to"] is None


@pytest.mark.parametrize(("seed", "protocol"), [*enumerate(PROTOCOLS), *enumerate(reversed(PROTOCOLS))])
def test_any_scene_gives_strict_json_and_a_whole_page(tmp_path: Path, protocol: str, seed: int) -> None:
    objects, detections, images, classes, blacklist = random_scene(
        seed, difficult=True, crowds=True, blacklist=True
    )
    names = ClassList(tuple("abcdefgh"[:classes]))
    path = write_report(tmp_path, content(Case(names, images, objects, detections, blacklist), protocol))
    json.loads((tmp_path / "metrics.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert Page(path.read_text()).open == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_found_gives_a_report(tmp_path: Path, protocol: str) -> None:
    path = write_report(tmp_path, content(case(), protocol))
    text = path.read_text()
    assert "There is no detection to count." in text
    assert "nan" not in text.lower()


def test_nothing_to_find_gives_a_report(tmp_path: Path) -> None:
    bare = case(*FOUND)
    bare = Case(CLASSES, 4, take(bare.objects, np.empty(0, np.int64)), bare.detections, NO_BLACKLIST)
    assert "nan" not in write_report(tmp_path, content(bare)).read_text().lower()


def test_page_is_well_formed_and_needs_no_other_file(tmp_path: Path) -> None:
    text = write_report(tmp_path, everything()).read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import|<link", text)
    assert "<b>pear" not in text
    assert "&lt;i&gt;mine" in text
    assert {address[1:] for address in page.addresses if address.startswith("#") and len(address) > 1} <= set(
        page.names
    )
    assert max(Counter(page.names).values()) == 1
    for word in ("Mean AP by method", "Fine-tuning", "1 min 15 s", "Proposals", "name: &lt;b&gt;"):
        assert word in text


def test_same_content_gives_the_same_files(tmp_path: Path) -> None:
    for name in "ab":
        write_report(tmp_path / name, everything())
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_report_writes_three_files_and_markdown_cells_hold(tmp_path: Path) -> None:
    path = write_report(tmp_path / "new", everything(), "page.html")
    assert {entry.name for entry in path.parent.iterdir()} == {"metrics.json", "report.md", "page.html"}
    text = (path.parent / "report.md").read_text()
    assert "| 2 | &lt;b>pear & co\\|ltd&lt;/b> | n2 | \N{EN DASH} |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    for head, rule in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if re.fullmatch(r"\|[-:|]+\|", rule):
            assert head.count("|") == rule.count("|"), head


def test_two_hundred_classes_have_a_picture_of_their_confusions(tmp_path: Path) -> None:
    path = write_report(tmp_path, content(two_hundred_classes()))
    text = path.read_text()
    assert 'id="confusion"' in text
    assert text.count('<td class="spark">') == 200
    assert len(text) < 2_000_000
    data = json.loads(text.split('id="confusion-data">')[1].split("</script>")[0])
    assert len(data["names"]) == 200
    assert all(count > 0 for _, _, count in data["entries"])


def test_names_cannot_end_the_script_of_the_confusions(tmp_path: Path) -> None:
    names = ClassList(("</script>", *map(str, range(12))))
    made = Case(names, 4, case().objects, table(*FOUND), NO_BLACKLIST)
    assert Page(write_report(tmp_path, content(made)).read_text()).open == []


def test_interval_stands_beside_the_mean_that_it_is_of() -> None:
    plain = cards(content(case(*FOUND)), report_tree(content(case(*FOUND))))
    assert [(name, bool(interval)) for _, name, interval in plain][:2] == [("mean AP", True), ("median AP", False)]
    undefined = content(case(*FOUND, (0, 2, 0.1, BOX)), "ilsvrc")  # a pear is found where there is none
    first, second, *_ = cards(undefined, report_tree(undefined))
    assert first[1:] == ("mean AP over classes with objects", first[2])
    assert first[2]
    assert second == ("\N{EN DASH}", "mean AP", "")


def test_images_are_counted_above_the_best_thresholds() -> None:
    analysis = content(case(*FOUND)).analysis
    counts = count_images(analysis.matched, analysis.thresholds)
    assert counts.hits.tolist() == [2, 1, 0, 0]
    assert counts.misses.tolist() == [1, 0, 0, 0]  # the one in image 3 is under the threshold
    assert counts.missed.tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(counts.f1, [4 / 5, 1, 0, np.nan])
    assert counts.text(0) == "2 of 2 found, 1 false"


def test_best_worst_and_other_images_are_chosen_once_each() -> None:
    analysis = content(two_hundred_classes()).analysis
    counts = count_images(analysis.matched, analysis.thresholds)
    chosen = choose_pictures(counts, range(60), 8, np.random.default_rng(0))
    assert {heading: len(positions) for heading, positions in chosen.items()} == {
        "Best": 3,
        "Worst": 3,
        "Random": 2,
    }
    assert len({position for positions in chosen.values() for position in positions}) == 8
    f1 = counts.f1
    assert f1[chosen["Best"]].min() >= np.nanmax(np.delete(f1, chosen["Best"]))
    assert f1[chosen["Worst"]].max() <= np.nanmin(np.delete(f1, chosen["Worst"]))
    assert choose_pictures(counts, [], 8, np.random.default_rng(0)) == {}
    assert list(choose_pictures(counts, [5], 8, np.random.default_rng(0))) == ["Best"]


def test_the_worst_images_come_with_the_score_that_they_are_drawn_from() -> None:
    analysis = content(two_hundred_classes()).analysis
    matched, thresholds = analysis.matched, analysis.thresholds
    counts = count_images(matched, thresholds)
    worst = worst_positions(analysis, 5)
    positions = list(worst)
    assert len(positions) == 5
    assert (np.diff(counts.f1[positions]) >= 0).all()
    assert counts.f1[positions[-1]] <= np.nanmin(np.delete(counts.f1, positions))
    for position, least in worst.items():
        scores = thresholds.scores[matched.objects.labels[matched.objects.image == position] - 1]
        assert least is None or least == np.nanmin(scores)
    assert worst_positions(content(case()).analysis, 99) == {0: None, 1: None, 2: None}  # nothing is found
    assert worst_positions(analysis, 0) == {}


def test_an_image_is_drawn_with_what_counts_in_it() -> None:
    analysis = content(case(*FOUND)).analysis
    blank = np.full((60, 300, 3), 128, np.uint8)
    drawn = [draw_image(blank, analysis.matched, analysis.thresholds, i, CLASSES.names, 300) for i in range(4)]
    assert all(picture.shape == (60, 300, 3) for picture in drawn)
    np.testing.assert_array_equal(drawn[3], blank)  # its detection is under the threshold
    assert not np.array_equal(drawn[2], blank)  # its object is missed


def test_training_plots_leave_out_what_there_is_none_of() -> None:
    steps = np.arange(5.0)
    assert len(training_svgs(TrainingLog("a", steps, {"loss": steps}, np.empty(0), {}))) == 1
    log = everything().training[0]
    plots = training_svgs(log)
    assert len(plots) == 3
    assert "loss, held out" in plots[0]
    assert "accuracy, held out" in plots[1]
    assert all(len(plot) < 60_000 for plot in plots)


def test_false_positives_are_not_drawn_where_there_are_none() -> None:
    assert false_positives_svg(content(case()).analysis.false_positives) == ""
    assert false_positives_svg(content(case(*FOUND)).analysis.false_positives).startswith("<svg")


def test_confusions_are_a_small_picture() -> None:
    assert len(confusion_uri(content(two_hundred_classes()).analysis.confusion)) < 20_000


def test_json_has_a_line_for_each_row() -> None:
    tree = {"a": {"b": [1.5, None]}, "rows": [{"x": 1}, {"x": [2]}], "none": {}, "empty": []}
    text = json_text(tree)
    assert json.loads(text) == tree
    assert text.splitlines()[1:3] == [' "a": {', '  "b": [1.5, null]']
    assert '  {"x": [2]}' in text.splitlines()
    with pytest.raises(ValueError, match="Out of range"):
        json_text({"a": [float("nan")]})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7290, "2 h 2 min")],
)
def test_durations_are_said_as_a_person_would(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_are_sides_of_squares() -> None:
    rows: list[dict[str, float | None]] = [
        {"from": 0.0, "to": 1024.0},
        {"from": 1024.0, "to": 9216.0},
        {"from": 9216.0, "to": None},
    ]
    assert [size_text(dict(row)) for row in rows] == [
        "under 32\N{SUPERSCRIPT TWO} px",
        "32\N{SUPERSCRIPT TWO} to 96\N{SUPERSCRIPT TWO} px",
        "from 96\N{SUPERSCRIPT TWO} px",
    ]
