"""SVMs, box regression and what they stand on, as stages of a run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import finish, kill_once_written, metrics_without_times

from detector.boxes import encode_boxes
from detector.config import Config, ContextSettings, dump_config, load_config
from detector.data.images import read_image
from detector.data.readers import open_dataset
from detector.errors import ConfigError
from detector.inference.engine import RegionEngine
from detector.jobs.outcome import Outcome, outcome_text
from detector.jobs.test_detector import run_testing
from detector.jobs.train_detector import run_training
from detector.networks.heads import load_boxes, load_svm
from detector.networks.weight_files.safetensors_files import read_tensors
from detector.networks.weight_files.weights import load_model
from detector.runs.folder import RunFolder
from detector.runs.store import Store
from detector.stages.region_sets import choose_images

METHODS = ["softmax", "softmax+boxes", "svm", "svm+boxes", "context"]
HEADS = [
    "svm.enabled=true",
    "boxes.enabled=true",
    "boxes.grid=2",
    "svm.retrain_after=50",
    "svm.c=1",
    "detect.min_svm_score=-3",
    "context.splits=[val]",  # the tested images themselves: these tests are not about how good it is
    "context.image=[best, classes]",
]
FILES = (
    "model/svm.safetensors",
    "model/boxes.safetensors",
    "model/context.safetensors",
    "stages/features/train/store/features.npy",
    "stages/features/val/store/offsets.npy",
    "stages/pairs/present/store/cells.npy",
    *(f"stages/detect/val/{method}/submission.txt" for method in METHODS),
    "report/methods.json",
)
Finished = tuple[RunFolder, Outcome]


@pytest.fixture(scope="module")
def config(tiny_config_path: Path) -> Config:
    return load_config(Config, tiny_config_path, HEADS)


@pytest.fixture(scope="module")
def finished(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    run = RunFolder(tmp_path_factory.mktemp("rcnn") / "whole")
    return run, run_training(run, config)


def command(config_path: Path, run: Path, *settings: str) -> list[str]:
    return ["train_det", str(config_path), *HEADS, *settings, "--run", str(run)]


def assert_same_files(one: Path, two: Path, names: tuple[str, ...]) -> None:
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert metrics_without_times(one) == metrics_without_times(two)


def test_a_run_reports_every_way_to_score(finished: Finished) -> None:
    run, outcome = finished
    assert outcome.reports is not None
    assert list(outcome.reports.all) == METHODS
    methods = json.loads((run.path / "report/methods.json").read_text())
    assert list(methods) == METHODS
    text = outcome_text(outcome)
    assert all(f"\n{method} " in text for method in METHODS)
    metrics = json.loads((run.path / "report/metrics.json").read_text())
    assert metrics["mean_ap"] == methods["context"]


def test_the_reported_method_can_be_chosen(finished: Finished, config: Config) -> None:
    run, _ = finished
    detect = config.detect.model_copy(update={"method": "softmax+boxes"})
    chosen = config.model_copy(update={"detect": detect, "context": ContextSettings()})
    outcome = run_testing(run, chosen, ("val",))
    assert outcome.reports is not None
    assert list(outcome.reports.all)[-1] == "softmax+boxes"
    assert outcome.folder == run.path / "report_val"


def test_stored_features_are_those_of_the_network(finished: Finished, config: Config) -> None:
    run, outcome = finished
    features = Store.open(run.path / "stages/features/val/store")
    proposals = Store.open(run.path / "stages/propose/val/store")
    network, preprocessing, _ = load_model(run.model_path)
    engine = RegionEngine(network, preprocessing, config.region, config.engine)
    boxes = np.array(proposals.read(1)["boxes"])
    found = next(engine.describe([(read_image(outcome.dataset.record(1).path), boxes)]))
    np.testing.assert_allclose(features.read(1)["features"], found.features, atol=2e-3, rtol=2e-3)


def test_objects_come_first_and_images_that_are_not_mined_have_nothing_else(
    finished: Finished, config: Config
) -> None:
    run, _ = finished
    dataset = open_dataset(config.data, config.data.train)
    features = Store.open(run.path / "stages/features/train/store")
    labels = Store.open(run.path / "stages/labels/train/store")
    any_class, every_class = np.any(dataset.complete, axis=1), dataset.exhaustive
    mined = choose_images(any_class, config.svm.images, config.seed, first=every_class)
    for position, rows in enumerate(np.diff(features.offsets).tolist()):
        objects = len(dataset.truth(position).labels)
        assert rows == (int(np.diff(labels.offsets)[position]) if mined[position] else objects)


def test_regressors_come_nearer_to_the_offsets_they_were_trained_on(finished: Finished) -> None:
    run, _ = finished
    pairs = Store.open(run.path / "stages/pairs/present/store")
    head = load_boxes(run.boxes_path)
    cells = torch.from_numpy(pairs.field("cells").astype(np.float32))
    moves = torch.nn.functional.linear(cells, head.weight.flatten(0, 1), head.bias.flatten()).view(-1, 2, 4)
    rows = np.arange(len(cells))
    own = moves.numpy()[rows, pairs.field("labels") - 1]
    wanted = encode_boxes(pairs.field("regions"), pairs.field("objects"))
    assert len(rows) > 10
    assert ((own - wanted) ** 2).mean() < (wanted**2).mean()


def test_svms_tell_objects_from_the_background_they_were_trained_on(finished: Finished, config: Config) -> None:
    run, _ = finished
    svm = load_svm(run.svm_path)
    features = Store.open(run.path / "stages/features/train/store")
    labels = Store.open(run.path / "stages/labels/train/store").field("labels")
    dataset = open_dataset(config.data, config.data.train)
    if len(labels) != features.offsets[-1]:
        pytest.skip("not every image is mined")
    scores = svm(torch.from_numpy(features.field("features").astype(np.float32))).numpy()
    for label in range(1, len(dataset.classes) + 1):
        own, background = scores[labels == label, label - 1], scores[labels == 0, label - 1]
        assert own.mean() > background.mean()


def test_finished_stages_are_not_repeated(finished: Finished, config: Config) -> None:
    run, _ = finished
    log = run.path / "log.jsonl"
    before = log.read_text().count("stage done")
    run_training(run, config)
    lines = [json.loads(line) for line in log.read_text().splitlines() if "stage done" in line][before:]
    assert {line["stage"] for line in lines} <= {"evaluate/val"}  # another test changed what is reported


def test_a_run_killed_while_it_makes_parts_and_rows_ends_with_the_very_same_files(
    finished: Finished, tiny_config_path: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = command(tiny_config_path, run)
    for watched in (
        "stages/boxes/present/parts/0000.safetensors",
        "stages/context_rows/val/stage.json",
    ):
        kill_once_written(words, run / watched)
    finish(words)
    assert_same_files(run, finished[0].path, FILES)


def test_two_processes_give_the_very_same_files_as_one(tiny_config_path: Path, tmp_path: Path) -> None:
    runs = [tmp_path / "one", tmp_path / "two"]
    for processes, run in enumerate(runs, 1):
        said = finish(command(tiny_config_path, run, "finetune.steps=0"), processes)
        assert ["mean AP" in text for text in said] == [True, False][:processes]
    names = tuple(name for name in FILES if "softmax" not in name)
    assert_same_files(runs[0], runs[1], names)


def test_two_processes_train_as_one(tiny_config_path: Path, tmp_path: Path) -> None:
    network = ("network.variant=paper", "network.dropout=0")
    heads = ("svm.enabled=false", "boxes.enabled=false", "context.splits=[]")
    training = ("pretrain.steps=2", "pretrain.batch_size=8", "finetune.steps=3", "finetune.learning_rate=0.001")
    runs = [RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")]
    for processes, run in enumerate(runs, 1):
        finish(command(tiny_config_path, run.path, *network, *heads, *training), processes)
    for name in ("pretrained", "region_classifier"):
        one, two = (load_model(run.path / f"model/{name}.safetensors")[0].state_dict() for run in runs)
        for key in one:
            torch.testing.assert_close(one[key], two[key], rtol=1e-4, atol=1e-5)


def test_the_best_weights_are_those_that_were_judged_best(tiny_config_path: Path, tmp_path: Path) -> None:
    settings = ["finetune.best=accuracy", "finetune.validation=[val]", "finetune.validate_every=2"]
    config = load_config(Config, tiny_config_path, [*settings, "finetune.validation_regions=32"])
    run = RunFolder(tmp_path / "run")
    run_training(run, config)
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    judged = {line["step"]: line["accuracy"] for line in lines if line["event"] == "judged"}
    assert sorted(judged) == [2, 4, 6]
    facts = run.stage("finetune").facts()
    assert facts["best_accuracy"] == max(judged.values()) == judged[facts["best_step"]]
    kept = torch.load(run.path / "stages/finetune/present/best.pt", weights_only=True)["network"]
    saved = load_model(run.model_path)[0].state_dict()
    assert all(torch.equal(kept[key], saved[key]) for key in saved)


def test_pretraining_on_objects_gives_fine_tuning_its_trunk(tiny_config_path: Path, tmp_path: Path) -> None:
    settings = ["pretrain.steps=2", "pretrain.batch_size=8", "finetune.steps=1", "finetune.learning_rate=1e-9"]
    config = load_config(Config, tiny_config_path, settings)
    run = RunFolder(tmp_path / "run")
    run_training(run, config)
    before = load_model(run.path / "model/pretrained.safetensors")[0]
    after = load_model(run.model_path)[0]
    assert (before.classifier.out_features, after.classifier.out_features) == (2, 3)
    weights = [network.backbone.state_dict()["conv1.conv.weight"] for network in (before, after)]
    torch.testing.assert_close(*weights, rtol=0, atol=1e-6)
    facts = read_tensors(run.model_path)[1]
    assert facts["config"] == dump_config(config)
    assert str(tmp_path) not in json.dumps(facts)
    moved = RunFolder(tmp_path / "elsewhere" / "run")
    for stage in ("propose", "labels"):
        shutil.copytree(run.path / "stages" / stage, moved.path / "stages" / stage, symlinks=True)
    run_training(moved, config)
    for name in ("pretrained", "region_classifier"):
        one, two = (each.path / f"model/{name}.safetensors" for each in (run, moved))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(("count", "wanted"), [(0, {1, 2, 4}), (2, None), (9, {1, 2, 4})])
def test_images_to_mine_are_drawn_from_those_that_may_be(count: int, wanted: set[int] | None) -> None:
    candidates = np.array([False, True, True, False, True])
    chosen = choose_images(candidates, count, seed=3)
    assert set(np.flatnonzero(chosen)) <= {1, 2, 4}
    assert set(np.flatnonzero(chosen)) == wanted if wanted else chosen.sum() == 2
    np.testing.assert_array_equal(chosen, choose_images(candidates, count, seed=3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["finetune.steps=0"], "svm.enabled must be true for finetune.steps 0"),
        (["detect.method=svm"], "detect.method must be one of softmax, got svm"),
        (["finetune.best=loss"], "validation must name a split for best loss"),
        (["svm.enabled=true", "detect.nms=soft_linear"], "detect.nms must be greedy for SVMs.*got soft_linear"),
        (["detect.nms=soft_linear"], "detect.min_score must be above 0 for detect.nms soft_linear, got 0"),
        (["ensemble.paddings=[4, 16]"], "ensemble.paddings must be under half of crop_size 32, got 16"),
    ],
)
def test_settings_that_contradict_each_other_are_one_line(
    tiny_config_path: Path, settings: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(Config, tiny_config_path, settings)
