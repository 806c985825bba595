"""Ensembles as stages of a run."""

import json
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from explained_images import explained_as_detected
from made_runs import methods_of

from detector.config import Config, DetectSettings, load_config
from detector.errors import ConfigError, DataError
from detector.inference.models import View
from detector.inference.select import select
from detector.jobs import ablate, ablation_judge
from detector.jobs.ablate import run_ablation
from detector.jobs.ablated_runs import ablation_folder, check_alike, join_ablations
from detector.jobs.ablation_judge import VOTING_IOU, row_settings
from detector.jobs.ablation_notes import left_out
from detector.jobs.ablation_table import Way, ablation_ways, join_tables, make_rows
from detector.jobs.load_detector import load_detector
from detector.jobs.test_detector import run_testing
from detector.jobs.train_detector import run_training
from detector.networks.weight_files.weights import load_model
from detector.records import ClassScores, Detections, take
from detector.reports.ablation_report import AblationReport, ablation_text
from detector.runs.folder import RunFolder
from detector.runs.processes import alone
from detector.runs.split import open_split
from detector.runs.store import Store
from detector.stages.ensemble_weights import model_weights

HEADS = ["boxes.enabled=true", "boxes.grid=1"]


@pytest.fixture(scope="module")
def finished(tiny_config_path: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("ensemble") / "run")
    config = load_config(Config, tiny_config_path, [*HEADS, "ensemble.members=2", "finetune.steps=3"])
    assert methods_of(run_training(run, config)) == ["softmax", "softmax+boxes", "ensemble"]
    return run


def detections(run: RunFolder, method: str) -> list[dict[str, np.ndarray]]:
    store = Store.open(run.path / "stages/detect/val" / method / "store")
    return [store.read(position) for position in range(len(store))]


def test_members_train_apart_on_the_same_proposals(finished: RunFolder) -> None:
    one, two = (load_model(finished.member(k).model_path)[0].state_dict() for k in range(2))
    assert any((one[key] != two[key]).any() for key in one)
    first, second = ((finished.member(k).path / "metrics.csv").read_text() for k in range(2))
    assert first != second
    shared = finished.path / "members/1/stages"
    assert not (shared / "propose").exists()
    assert not (shared / "labels").exists()


def test_an_ensemble_of_one_model_listed_often_is_that_model(finished: RunFolder, tmp_path: Path) -> None:
    plain = ["boxes.enabled=false", "ensemble.members=1"]
    single = RunFolder(tmp_path / "single")
    shutil.copytree(finished.path / "model", single.path / "model")
    single.begin(finished.read_config(Config, plain))
    listed = finished.read_config(Config, [*plain, f"ensemble.runs=[{single.path}, {single.path}]"])
    outcome = run_testing(finished, listed, ("val",))
    assert outcome.reports is not None
    assert list(outcome.reports.all) == ["softmax", "ensemble"]
    for one, three in zip(detections(finished, "softmax"), detections(finished, "ensemble"), strict=True):
        assert len(one["scores"])
        for name in one:
            np.testing.assert_array_equal(one[name], three[name])


def test_mirrored_and_wider_views_count_in_the_average(finished: RunFolder) -> None:
    views = ["ensemble.mirror=true", "ensemble.paddings=[0, 6]", "ensemble.weights=[2, 1]"]
    outcome = run_testing(finished, finished.read_config(Config, views), ("val",))
    assert outcome.reports is not None
    alone, together = (
        np.sort(np.concatenate([each["scores"] for each in detections(finished, name)]))
        for name in ("softmax+boxes", "ensemble")
    )
    assert not np.array_equal(alone, together)


def test_weights_must_be_one_a_model(finished: RunFolder) -> None:
    config = finished.read_config(Config, ["ensemble.weights=[1, 2, 3]"])
    with pytest.raises(DataError, match=r"ensemble.weights must be one a model, 2 of them, got 3"):
        run_testing(finished, config, ("val",))


def test_a_missing_member_is_one_line(finished: RunFolder) -> None:
    config = finished.read_config(Config, ["ensemble.members=3"])
    with pytest.raises(DataError, match=r"must hold a trained model, got none at .*members/2"):
        run_testing(finished, config, ("val",))


def test_an_ablation_evaluates_what_the_models_said_once(finished: RunFolder) -> None:
    config = finished.read_config(Config, ["ensemble.mirror=true", "ensemble.paddings=[6]"])
    rows = run_ablation(finished, config, ("val",), alone(), timed_regions=30).rows
    assert [(row.name, row.passes) for row in rows] == [
        ("one model", 1),
        ("one model, mirrored too", 2),
        ("one model, all views", 4),
        ("2 models", 2),
        ("2 models, all views", 8),
        ("one model, box voting", 1),
        ("everything, box voting", 8),
    ]
    assert rows[0].change == 0
    assert [row.standard_error is None for row in rows] == [False, False, False, True, True, False, True]
    assert rows[0].cost == 1
    assert rows[1].cost == rows[3].cost > 0  # so small a network costs little beside all else:
    assert rows[4].cost > 1  # but eight times as often does
    assert all(row.regions_per_second > 0 for row in rows)
    assert [row.models for row in rows] == [1, 1, 1, 2, 2, 1, 2]
    folder = ablation_folder(finished, ("val",))
    assert ablation_text(rows) in (folder / "report.md").read_text()
    assert (folder / "index.html").is_file()


def test_only_the_rows_of_an_ablation_that_name_votes_have_them(
    finished: RunFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    used: list[DetectSettings] = []

    def noted(scores: ClassScores, lowest: float, settings: DetectSettings) -> Detections:
        used.append(settings)
        return select(scores, lowest, settings)

    monkeypatch.setattr(ablation_judge, "select", noted)
    config = finished.read_config(Config, ["detect.voting_iou=0.3", "detect.iterations=2"])
    rows = run_ablation(finished, config, ("val",), alone(), 30).rows
    images, choices = 4, {"one model": 2, "2 models": 1, "one model, box voting": 2, "2 models, box voting": 1}
    wanted = [[0.3 * ("voting" in row.name)] * images * choices[row.name] for row in rows]
    assert [settings.voting_iou for settings in used] == list(chain(*wanted))
    told = capfd.readouterr().err
    page = (ablation_folder(finished, ("val",)) / "index.html").read_text()
    for line in (
        "detect.voting_iou 0.3 counts in the rows with box voting alone",
        "detect.iterations 2 is left out of all rows: no box is scored again",
    ):
        assert told.count(line) == page.count(line) == 1
    assert left_out(DetectSettings()) == []


@pytest.mark.parametrize(("given", "voted"), [(0.0, VOTING_IOU), (0.65, 0.65)])
def test_votes_are_the_run_s_and_all_else_after_the_scores_is_too(given: float, voted: float) -> None:
    settings = DetectSettings(nms="soft_linear", voting_iou=given, max_per_image=7)
    rows = [row_settings(settings, votes) for votes in (False, True)]
    assert [row.voting_iou for row in rows] == [0, voted]
    assert all(row.model_copy(update={"voting_iou": given}) == settings for row in rows)


def test_an_ablation_without_objects_is_one_line(finished: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    config = finished.read_config(Config, [])
    split = open_split(config.data, ("val",))
    nothing = take(split.dataset.objects, np.empty(0, np.int64))
    bare = replace(split, dataset=replace(split.dataset, objects=nothing))
    monkeypatch.setattr(ablate, "open_tested", lambda *_: bare)
    with pytest.raises(DataError, match="must have objects to tell what a detector's parts are worth, got none"):
        run_ablation(finished, config, ("val",), alone())


def test_the_table_of_an_ablation() -> None:
    one, both = np.array([[True, False], [False, True]]), np.array([[True, True]])
    ways = [Way("one model", one), Way("2 models", both, 2), Way("one model, box voting", one, votes=True)]
    results = {"one model": [0.2, 0.4], "2 models": [0.5], "one model, box voting": [0.25, 0.47]}
    rows = make_rows(ways, results, {1: (2.0, 100), 2: (3.0, 100)})
    assert ablation_text(rows).splitlines()[2:] == [
        "| one model | 0.3000 ± 0.1000 |  | 1 | 50 | 1.00 |",
        "| 2 models | 0.5000 | +0.2000 | 2 | 33 | 1.50 |",
        "| one model, box voting | 0.3600 ± 0.1100 | +0.0600 ± 0.0100 | 1 | 50 | 1.00 |",
    ]
    other = make_rows(
        ways,
        {"one model": [0.1, 0.1], "2 models": [0.2], "one model, box voting": [0.1, 0.1]},
        {1: (1.0, 50), 2: (2.0, 50)},
    )
    assert ablation_text(join_tables([rows, other])).splitlines()[2:] == [
        "| one model | 0.2000 ± 0.1000 |  | 1 | 50 | 1.00 |",
        "| 2 models | 0.3500 ± 0.1500 | +0.1500 ± 0.0500 | 2 | 29 | 1.75 |",
        "| one model, box voting | 0.2300 ± 0.1300 | +0.0300 ± 0.0300 | 1 | 50 | 1.00 |",
    ]


def test_fewer_models_than_all_are_the_mean_over_sets_of_them() -> None:
    views = [View(detector, True, mirrored) for detector in range(4) for mirrored in (False, True)]
    rows = {way.name: way for way in ablation_ways(views, has_context=False)}
    chosen = [[views[k].detector for k in np.flatnonzero(row)] for row in rows["3 models"].choices]
    assert chosen == [[0, 1, 2], [1, 2, 3], [0, 2, 3], [0, 1, 3]]
    assert len(rows["4 models"].choices) == 1
    assert len(rows["everything, box voting"].choices[0]) == 8
    plain = [way.name for way in ablation_ways(views[::2], has_context=True)]
    assert plain[-3:] == ["one model, box voting", "4 models, box voting", "4 models, context, box voting"]
    single = [way.name for way in ablation_ways(views[:1], has_context=True)]
    assert single == [
        f"one model{more}" for more in ("", ", context", ", box voting", ", context, box voting")
    ]  # the last is what the run reports, if it votes
    table = make_rows(
        [rows["one model"], rows["3 models"]],
        {"one model": [0.1, 0.2, 0.3, 0.4], "3 models": [0.3, 0.4, 0.4, 0.5]},
        {1: (1.0, 10), 3: (2.5, 10)},
    )
    assert table[1].mean_ap == pytest.approx(0.4)
    assert table[1].change == pytest.approx(0.15)
    assert (table[1].standard_error, table[1].change_error) == (None, None)


def test_the_ablations_of_runs_are_joined() -> None:
    one = Way("one model", np.array([[True]]))
    report = AblationReport("a", "ilsvrc", make_rows([one], {"one model": [0.2]}, {1: (1.0, 9)}), "the 1 models")
    both = join_ablations([report, replace(report, name="b")])
    assert (both.name, both.over, both.rows[0].standard_error) == ("a, b", "2 runs", 0)


def test_runs_of_different_rows_are_not_joined(finished: RunFolder) -> None:
    runs = [finished, finished]
    plain, mirrored = (finished.read_config(Config, words) for words in ([], ["ensemble.mirror=true"]))
    check_alike(runs, [plain, plain])
    message = (
        r"alike to be joined, got 2 models, .*, padding 2 of 32, mirrored, ilsvrc, NMS greedy, box voting at IoU "
        r"0.5 .* for 2 models, .*, padding 2 of 32, ilsvrc, "
    )
    with pytest.raises(DataError, match=message):
        check_alike(runs, [plain, mirrored])
    voting = finished.read_config(Config, ["detect.voting_iou=0.65"])
    with pytest.raises(DataError, match=r"alike to be joined, got .*, box voting at IoU 0.65 .* for .*, .*0.5 "):
        check_alike(runs, [plain, voting])
    other = finished.read_config(Config, ["data.root=elsewhere"])
    with pytest.raises(DataError, match=r"alike to be joined, got 2 models, data of elsewhere, padding"):
        check_alike(runs, [plain, other])


def test_weights_are_learned_on_held_out_regions_and_used(
    finished: RunFolder, tiny_config_path: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    words = [*HEADS, "ensemble.members=2", "finetune.steps=3", "ensemble.fit_weights=[val]"]
    before = detections(run, "ensemble")
    outcome = run_training(run, load_config(Config, tiny_config_path, words))
    assert outcome.reports is not None
    weights = json.loads(run.weights_path.read_text())["weights"]
    assert sum(weights) == pytest.approx(2, abs=1e-4)
    after = detections(run, "ensemble")
    assert not all(np.array_equal(one["scores"], two["scores"]) for one, two in zip(before, after, strict=True))
    with pytest.raises(ConfigError, match=r"ensemble.fit_weights must be what .*, \['val'\], got \['train'\]"):
        load_detector(run.path, ["ensemble.fit_weights=[train]"])
    given = run.read_config(Config, ["ensemble.fit_weights=[]", f"ensemble.weights={weights}"])
    run_testing(run, given, ("val",))
    for one, two in zip(after, detections(run, "ensemble"), strict=True):
        np.testing.assert_array_equal(one["scores"], two["scores"])
    load_detector(run.path)
    run.weights_path.unlink()
    with pytest.raises(DataError, match=r"must hold learned weights of its models, got none at .*ensemble.json"):
        load_detector(run.path)


def test_a_member_of_an_earlier_training_is_not_averaged_with_a_later_one(
    finished: RunFolder, tiny_config_path: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    run_training(run, load_config(Config, tiny_config_path, [*HEADS, "finetune.steps=2"]))
    with pytest.raises(ConfigError, match=r"finetune.steps must be .*, 3, got 2 \(.*members/1/.*\); train_det"):
        run_testing(run, run.read_config(Config, ["ensemble.members=2"]), ("val",))
    run_training(run, finished.read_config(Config, []))
    assert run.statement_path.read_bytes() == finished.statement_path.read_bytes()


def test_weights_are_those_of_the_likelier_model() -> None:
    labels = np.array([0, 1, 2, 0])
    good = np.array([[0.1, 0.1], [0.8, 0.1], [0.1, 0.8], [0.1, 0.1]], np.float32)
    poor = np.full((4, 2), 1 / 3, np.float32)
    assert model_weights(np.stack([poor, good], 1), labels) == pytest.approx([0, 2], abs=1e-2)


def test_boxes_that_were_found_are_scored_again(finished: RunFolder) -> None:
    keep_all = ["detect.nms_iou=1", "detect.max_per_image=0"]
    again = finished.read_config(Config, [*keep_all, "detect.iterations=1", "detect.iterated=5"])
    outcome = run_testing(finished, again, ("val",))
    assert methods_of(outcome) == ["softmax", "softmax+boxes", "ensemble"]
    twice = detections(finished, "ensemble")
    run_testing(finished, finished.read_config(Config, keep_all), ("val",))
    for once, more in zip(detections(finished, "ensemble"), twice, strict=True):
        assert 1 <= len(more["scores"]) - len(once["scores"]) <= 10  # of two classes, five boxes at most


def test_the_row_of_all_models_is_the_ensemble_of_the_run(finished: RunFolder) -> None:
    config = finished.read_config(Config, [])
    reports = run_testing(finished, config, ("val",)).reports
    assert reports is not None
    rows = {row.name: row.mean_ap for row in run_ablation(finished, config, ("val",), alone()).rows}
    assert rows["2 models"] == pytest.approx(reports.all["ensemble"].mean_ap, abs=1e-3)


def test_an_ablation_knows_which_models_move_boxes(finished: RunFolder, tmp_path: Path) -> None:
    plain = RunFolder(tmp_path / "plain")  # without regressors, so its views have no moves to average
    shutil.copytree(finished.path / "model", plain.path / "model")
    plain.begin(finished.read_config(Config, ["boxes.enabled=false", "ensemble.members=1"]))
    mixed = finished.read_config(Config, ["ensemble.members=1", f"ensemble.runs=[{plain.path}, {plain.path}]"])
    reports = run_testing(finished, mixed, ("val",)).reports
    assert reports is not None
    rows = {row.name: row.mean_ap for row in run_ablation(finished, mixed, ("val",), alone()).rows}
    assert rows["3 models"] == pytest.approx(reports.all["ensemble"].mean_ap, abs=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ensemble.runs=[nowhere]"], "run must be a folder that holds config.yaml, got nowhere"),
        (["ensemble.weights=[1, 2, 3]"], "ensemble.weights must be one a model, 1 of them, got 3"),
        (
            ["ensemble.members=2", "ensemble.fit_weights=[train]"],
            "ensemble.fit_weights must hold no image that is trained on, got 12 of",
        ),
    ],
)
def test_what_is_wrong_about_an_ensemble_is_told_before_any_work(
    tiny_config_path: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    config = load_config(Config, tiny_config_path, words)
    with pytest.raises(DataError, match=message):
        run_training(RunFolder(tmp_path / "run"), config)
    assert not (tmp_path / "run").exists()


def test_views_and_boxes_scored_again_are_explained(finished: RunFolder) -> None:
    words = ["ensemble.mirror=true", "detect.iterations=1", "detect.iterated=10", "engine.precision=fp32"]
    detector = load_detector(finished.path, words)
    image = open_split(detector.config.data, ("val",)).read(0)
    explanation = explained_as_detected(detector, image)
    assert "average of 4 views" in explanation.notes[0]
    assert 0 < (explanation.trace.rounds == 1).sum() <= 10
