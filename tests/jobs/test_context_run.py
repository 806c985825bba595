"""Rescoring by context as stages of a run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from explained_images import explained_as_detected
from made_runs import methods_of

from detector.config import Config, load_config
from detector.data.readers import open_dataset
from detector.errors import ConfigError, DataError
from detector.inference.image_context import Context
from detector.jobs.ablate import run_ablation
from detector.jobs.export import export_run
from detector.jobs.load_detector import load_detector
from detector.jobs.test_detector import run_testing
from detector.jobs.train_detector import run_training
from detector.jobs.trained_models import context_task, scored_by_all
from detector.networks.backbones import backbone_facts
from detector.records import ClassScores, DetectionTable
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.runs.split import Split, open_split
from detector.runs.store import PROPOSAL_FIELDS, Store, StoreWriter
from detector.stages.context import check_apart
from detector.stages.context_examples import Examples, SeenImages, best_scores, context_rows, hits, learn_rescoring
from detector.stages.image_features import run_image_features
from detector.stages.score_sources import StoredScores, apply_context

SPLITS = ["data.train=train", "data.test=val", "context.splits=[HELD_OUT]", "finetune.steps=2"]
EVERYTHING = [
    "context.image=[best, classes, global]",
    "ensemble.mirror=true",
    "boxes.enabled=true",
    "boxes.grid=1",
]


@pytest.fixture(scope="module")
def held_out(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of two of the validation images, by the indices that they have there."""
    lines = (tiny_data / "ImageSets/DET/val.txt").read_text().splitlines()
    path = tmp_path_factory.mktemp("lists") / "held_out.txt"
    path.write_text("\n".join(lines[:3]) + "\n")
    return path


@pytest.fixture(scope="module")
def words(held_out: Path) -> list[str]:
    return [word.replace("HELD_OUT", str(held_out)) for word in SPLITS]


@pytest.fixture(scope="module")
def finished(tiny_config_path: Path, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("context") / "run")
    outcome = run_training(run, load_config(Config, tiny_config_path, [*words, *EVERYTHING]))
    assert methods_of(outcome) == ["softmax", "softmax+boxes", "ensemble", "context"]
    return run


def detections(run: RunFolder, method: str) -> list[dict[str, np.ndarray]]:
    store = Store.open(run.path / "stages/detect/val" / method / "store")
    return [store.read(position) for position in range(len(store))]


def test_context_changes_the_scores_of_the_ensemble(finished: RunFolder) -> None:
    before, after = (
        np.sort(np.concatenate([each["scores"] for each in detections(finished, name)]))
        for name in ("ensemble", "context")
    )
    assert ((after >= 0) & (after <= 1)).all()
    assert not np.array_equal(before, after)


def test_images_that_teach_the_rescoring_and_are_tested_on_are_told_at_the_start_and_in_the_report(
    finished: RunFolder,
) -> None:
    words = (
        "images that are tested on are among those that the rescoring is learned from",
        "context.splits, first",
    )
    for path in ("log.jsonl", "report/index.html"):
        text = (finished.path / path).read_text()
        assert all(word in text for word in words), path


def test_the_detector_of_a_run_with_context_finds_what_the_run_found(finished: RunFolder) -> None:
    config = finished.read_config(Config, [])
    testing = open_dataset(config.data, config.data.test)
    detector = load_detector(finished.path)
    for position, wanted in enumerate(detections(finished, "context")):
        found = detector.detect(testing.record(position).path)
        np.testing.assert_array_equal(np.sort(found.labels), np.sort(wanted["labels"]))
        np.testing.assert_allclose(np.sort(found.scores), np.sort(wanted["scores"]), atol=1e-4)


def test_rescored_after_nms_are_the_very_boxes_that_are_found_without_context(finished: RunFolder) -> None:
    words = ["context.after_nms=true", "detect.max_per_image=0"]
    run_testing(finished, finished.read_config(Config, words), ("val",))
    for before, after in zip(detections(finished, "ensemble"), detections(finished, "context"), strict=True):
        pairs = [np.column_stack([found["labels"], found["boxes"]]) for found in (before, after)]
        one, two = (rows[np.lexsort(rows.T)] for rows in pairs)
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(before["scores"], after["scores"])


@pytest.mark.parametrize("after", ["true", "false"])
def test_detector_and_ablation_rescore_after_nms_as_the_run_does(finished: RunFolder, after: str) -> None:
    words = [f"context.after_nms={after}"]
    config = finished.read_config(Config, words)
    outcome = run_testing(finished, config, ("val",))
    assert outcome.reports is not None
    path = open_dataset(config.data, config.data.test).record(1).path
    found = load_detector(finished.path, words).detect(path)
    np.testing.assert_allclose(found.scores, detections(finished, "context")[1]["scores"], atol=1e-4)
    rows = {row.name: row for row in run_ablation(finished, config, ("val",), alone(), timed_regions=10).rows}
    assert rows["everything, context"].mean_ap == pytest.approx(outcome.reports.report.mean_ap, abs=1e-3)


def test_an_exported_run_with_context_detects_as_the_run(finished: RunFolder, tmp_path: Path) -> None:
    config = finished.read_config(Config, [])
    path = open_dataset(config.data, config.data.test).record(0).path
    export_run(finished, tmp_path / "exported", safetensors=True, onnx=False)
    one, two = (load_detector(folder).detect(path) for folder in (finished.path, tmp_path / "exported"))
    np.testing.assert_array_equal(one.scores, two.scores)
    np.testing.assert_array_equal(one.boxes, two.boxes)


def test_a_second_run_does_nothing_anew(finished: RunFolder, capfd: pytest.CaptureFixture[str]) -> None:
    before = finished.context_path.stat().st_mtime_ns
    run_training(finished, finished.read_config(Config, []))
    assert finished.context_path.stat().st_mtime_ns == before
    events = [json.loads(line) for line in (finished.path / "log.jsonl").read_text().splitlines()]
    last = max(row for row, event in enumerate(events) if event["event"] == "start")
    assert not [event for event in events[last:] if event["event"].startswith("stage")]


def test_images_that_are_trained_on_teach_no_rescoring(tiny_config_path: Path, tmp_path: Path) -> None:
    config = load_config(Config, tiny_config_path, ["context.splits=[train]"])
    with pytest.raises(DataError, match=r"context.splits must hold no image that is trained on, got 12 of them"):
        run_training(RunFolder(tmp_path / "run"), config)
    assert not (tmp_path / "run").exists()


def test_imagenet_needs_a_network_of_a_thousand_classes(tiny_config_path: Path, finished: RunFolder) -> None:
    words = ["context.splits=[val]", "context.image=[imagenet]"]
    with pytest.raises(ConfigError, match=r"context.weights must be of a network with 1,000 classes for imagenet"):
        load_config(Config, tiny_config_path, words)
    config = load_config(Config, tiny_config_path, [*words, f"context.weights={finished.model_path}"])
    with pytest.raises(DataError, match=r"must have 1,000 classes for imagenet, got 3"):
        run_training(RunFolder(finished.path / "other"), config)


def test_a_run_without_its_rescoring_is_one_line(finished: RunFolder, tmp_path: Path) -> None:
    config = finished.read_config(Config, [])
    run = RunFolder(tmp_path / "run")
    shutil.copytree(finished.path / "model", run.path / "model")
    run.begin(config)
    run.context_path.unlink()
    with pytest.raises(DataError, match="must hold a rescoring by context, got none at"):
        load_detector(run.path)


def test_a_rescoring_is_not_used_on_other_scores(finished: RunFolder) -> None:
    config = finished.read_config(Config, ["ensemble.mirror=false"])
    with pytest.raises(
        DataError, match=r"learned from the scores it is used on, softmax\+boxes, got .*, averaged"
    ):
        run_testing(finished, config, ("val",))


def test_a_rescoring_is_not_used_for_one_of_other_images(finished: RunFolder) -> None:
    config = finished.read_config(Config, ["context.splits=[val]"])
    with pytest.raises(
        ConfigError, match=r"context.splits must be what the rescoring was learned with, .*'val'\]"
    ):
        run_testing(finished, config, ("val",))


def test_the_ablation_has_rows_in_context(finished: RunFolder) -> None:
    report = run_ablation(finished, finished.read_config(Config, []), ("val",), alone(), timed_regions=10)
    assert {"one model, context", "everything, context, box voting"} < {row.name for row in report.rows}


def test_an_ablation_tells_what_context_would_be_worth_to_a_run_without_it(
    finished: RunFolder, held_out: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(finished.path / "model", run.path / "model")
    run.context_path.unlink()
    run.begin(finished.read_config(Config, ["context.splits=[]"]))
    config = run.read_config(Config, [f"context.splits=[{held_out}]"])
    wanted = run_ablation(finished, finished.read_config(Config, []), ("val",), alone(), timed_regions=10)
    found = run_ablation(run, config, ("val",), alone(), timed_regions=10)
    assert [(row.name, row.mean_ap) for row in found.rows] == [(row.name, row.mean_ap) for row in wanted.rows]


def test_an_ablation_with_another_network_for_whole_images_leaves_the_model_as_it_was(finished: RunFolder) -> None:
    before = {path: path.read_bytes() for path in sorted(finished.model_path.parent.iterdir())}
    config = finished.read_config(Config, [f"context.weights={finished.model_path}"])
    run_ablation(finished, config, ("val",), alone(), timed_regions=10)
    assert {path: path.read_bytes() for path in sorted(finished.model_path.parent.iterdir())} == before
    assert load_detector(finished.path).classes


def test_an_ablation_learns_no_context_from_what_the_models_know(finished: RunFolder) -> None:
    config = finished.read_config(Config, ["context.splits=[train]"])
    with pytest.raises(DataError, match=r"context.splits must hold no image that is trained on, got 12 of them"):
        run_ablation(finished, config, ("val",), alone())


def test_the_networks_score_a_split_once_for_the_average_and_its_rescoring(finished: RunFolder) -> None:
    stored = Store.open(finished.path / "stages/scores/val/store")
    config = finished.read_config(Config, [])
    split = open_split(config.data, ("val",))
    source = scored_by_all(Job(finished, config, alone()))
    regions = Store.open(finished.path / "stages/propose/val/store")
    direct = list(source.open(split, regions, 0)(range(len(split))))
    read = StoredScores(stored, moves=True, by_svm=False).open(split, regions, 0)
    for position, wanted in enumerate(direct):
        (scores,) = read(range(position, position + 1))
        np.testing.assert_array_equal(scores.scores, wanted.scores)
        np.testing.assert_array_equal(scores.boxes, wanted.boxes)


def test_two_crops_of_a_whole_image_are_seen(tiny_config_path: Path, words: list[str], tmp_path: Path) -> None:
    wide = ["region.wide_padding=8", "context.image=[global]"]
    run = RunFolder(tmp_path / "run")
    outcome = run_training(run, load_config(Config, tiny_config_path, [*words, *wide]))
    assert methods_of(outcome) == ["softmax", "context"]
    width = 2 * backbone_facts("tiny").width
    assert Store.open(run.path / "stages/seen/val/store").field("features").shape == (4, width)


def test_an_image_without_regions_is_not_seen_and_stays_without(
    finished: RunFolder, tiny_config: Config, tmp_path: Path
) -> None:
    dataset = open_dataset(tiny_config.data, ("val",))
    writer = StoreWriter(tmp_path / "propose", PROPOSAL_FIELDS, 4, "key", 4)
    box = {"boxes": np.array([[1, 1, 30, 30]], np.float32), "scores": np.ones(1, np.float32)}
    for position in range(4):
        writer.append(position, {name: rows[: position % 2] for name, rows in box.items()})
    writer.close_shard(range(4))
    proposals = writer.finish()
    stage = RunFolder(tmp_path / "run").stage("seen")
    seen = run_image_features(stage, Split(dataset, "val"), proposals, finished.model_path, tiny_config.engine)
    assert np.diff(seen.offsets).tolist() == [0, 1, 0, 1]
    nothing = ClassScores(np.empty((0, 2, 4), np.float32), np.empty((0, 2), np.float32))
    context = Context.load(finished.context_path)
    assert apply_context(context, nothing, seen, dataset, 0) is nothing


def test_nothing_is_learned_from_no_detections(finished: RunFolder, tiny_config: Config) -> None:
    dataset = open_dataset(tiny_config.data, ("val",))
    context = Context.load(finished.context_path)
    nothing = ClassScores(np.empty((0, 2, 4), np.float32), np.empty((0, 2), np.float32))
    task = context_task(tiny_config)
    rows = [context_rows(nothing, task, 80, 100)] * len(dataset)
    seen = Store.open(finished.path / "stages/seen/val/store")
    with pytest.raises(DataError, match="val must have regions to learn a rescoring from, got none"):
        learn_rescoring(task, context.features, SeenImages(dataset, seen), Examples.of_entries(rows))


def test_weights_that_cannot_be_read_are_told_before_any_work(tiny_config_path: Path, tmp_path: Path) -> None:
    words = ["context.splits=[val]", "context.weights=nowhere.npz"]
    with pytest.raises(DataError, match=r"nowhere\.npz"):
        run_training(RunFolder(tmp_path / "run"), load_config(Config, tiny_config_path, words))
    assert not (tmp_path / "run").exists()


def test_hits_are_what_the_protocol_counts_and_what_is_unknown_teaches_nothing(tiny_config: Config) -> None:
    dataset = open_dataset(tiny_config.data, ("val",))
    objects = dataset.objects
    boxes = np.concatenate([objects.boxes[:1], objects.boxes[:1], objects.boxes[:1] + 1000])
    image, label = objects.image[[0, 0, 0]], objects.labels[[0, 0, 0]]
    table = DetectionTable(image, boxes.astype(np.float64), label, np.array([0.5, 0.9, 0.7]))
    assert hits("ilsvrc", dataset, table).tolist() == [-1, 1, -1]  # the better of two that hit it counts
    unknown = replace(dataset, complete=np.zeros_like(dataset.complete))
    assert hits("ilsvrc", unknown, table).tolist() == [0, 1, 0]


def test_best_scores_are_those_of_each_image_and_class() -> None:
    found = best_scores(
        np.array([0, 0, 2, 2]), np.array([1, 1, 2, 1]), np.array([0.1, 0.4, 0.2, 0.3], np.float32), 3, 2
    )
    nothing = -np.inf
    np.testing.assert_allclose(found, [[0.4, nothing], [nothing, nothing], [0.3, 0.2]])


def test_training_and_held_out_images_are_told_apart(tiny_config: Config) -> None:
    training, testing = (open_dataset(tiny_config.data, (name,)) for name in ("train", "val"))
    check_apart("context.splits", training, testing)
    with pytest.raises(DataError, match=r"ensemble.fit_weights must hold .*, got 4 of them, first"):
        check_apart("ensemble.fit_weights", testing, testing)


def test_context_before_nms_is_explained(finished: RunFolder) -> None:
    detector = load_detector(finished.path, ["context.after_nms=false", "engine.precision=fp32"])
    trace = explained_as_detected(detector, open_split(detector.config.data, ("val",)).read(0)).trace
    assert trace.rescored is None
    assert trace.before is not None
    assert not np.array_equal(trace.before, trace.scores)
