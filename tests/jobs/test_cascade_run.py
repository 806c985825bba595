"""A cascade as stages of a run, with a rescoring that is learned from what it keeps."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from explained_images import explained_as_detected
from made_runs import write_run

from detector.config import Config, load_config
from detector.data.images import read_image
from detector.errors import ConfigError, DataError
from detector.inference.engine import RegionEngine
from detector.inference.held_image import Regions
from detector.inference.models import CascadeFiles
from detector.inference.region_filter import RegionFilter, open_cascade, rank_regions
from detector.jobs.export import export_run
from detector.jobs.load_detector import load_detector
from detector.jobs.outcome import Outcome, outcome_text
from detector.jobs.train_detector import run_training
from detector.jobs.trained_models import regions_of
from detector.networks.heads import load_objectness
from detector.networks.weight_files.weights import load_model
from detector.records import Proposals, take
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.runs.split import Split, open_split, split_slug
from detector.runs.store import Store, read_proposals
from detector.stages.cascade import learn_objects
from detector.stages.cascade_network import small_region
from detector.stages.region_cut import compare_regions, run_cut
from detector.stages.region_sets import ProposedRegions

KEEP = 10
SETTINGS = ["cascade.crop_size=32", "cascade.images=9", "finetune.steps=2", "evaluate.pictures=0"]
Finished = tuple[RunFolder, Outcome]


@pytest.fixture(scope="module")
def words(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of a run whose context is learned on a list of some validation images."""
    lines = (tiny_data / "ImageSets/DET/val.txt").read_text().splitlines()
    path = tmp_path_factory.mktemp("lists") / "held_out.txt"
    path.write_text("\n".join(lines[:3]) + "\n")
    return [f"cascade.keep={KEEP}", *SETTINGS, f"context.splits=[{path}]"]


@pytest.fixture(scope="module")
def finished(tiny_config_path: Path, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    run = RunFolder(tmp_path_factory.mktemp("cascade") / "run")
    return run, run_training(run, load_config(Config, tiny_config_path, words))


def stores(run: RunFolder) -> tuple[Store, Store]:
    """The proposals of the test split, and those kept."""
    before, after = (Store.open(run.stage(name, "val").folder / "store") for name in ("propose", "filter"))
    return before, after


def stages_of_last_start(run: RunFolder) -> list[str]:
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    last = max(row for row, line in enumerate(lines) if line["event"] == "start")
    return [line["stage"] for line in lines[last:] if line["event"] == "stage begun"]


def test_objects_with_features_of_their_own_are_kept() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(1, 4, 400) * (random.random(400) < 0.2)
    features = random.normal(size=(400, 8)).astype(np.float32)
    features[:, 3] += 8 * (labels > 0)
    images = np.repeat(np.arange(20) * 3, 20)
    linear = learn_objects(features[:300], labels[:300], images[:300]).linear
    scores = features[300:] @ linear.own.numpy()[0] + linear.bias.numpy()
    is_object = labels[300:] > 0
    rows = np.repeat(np.arange(100, dtype=np.float32)[:, None], 4, axis=1)
    kept = rank_regions(rows, scores, 1.0).boxes[: is_object.sum(), 0].astype(int)
    assert is_object[kept].all()


def test_regions_of_one_kind_teach_nothing() -> None:
    features, images = np.zeros((3, 2), np.float32), np.arange(3)
    with pytest.raises(DataError, match=r"cascade needs regions of objects and of background .*, got 3 and 0"):
        learn_objects(features, np.ones(3, np.int16), images)
    with pytest.raises(DataError, match="got 0 and 0"):
        learn_objects(features[:0], np.ones(0, np.int16), images[:0])


def test_the_store_holds_the_best_regions_in_order(finished: Finished) -> None:
    run, outcome = finished
    config = run.read_config(Config, [])
    before, after = stores(run)
    engine = RegionEngine.load(run.cascade_path, settings=config.engine)
    assert engine.crops.region == small_region(config.region, config.cascade.crop_size)
    images = Split(outcome.dataset, "val").load(ProposedRegions(before).boxes, range(4), 0)
    for position, scored in enumerate(engine.score(images)):
        kept = read_proposals(after, position)
        ranked = rank_regions(scored.boxes, scored.probs[:, 1], config.cascade.nms_iou)
        np.testing.assert_array_equal(kept.boxes, ranked.boxes[:KEEP])
        np.testing.assert_allclose(kept.scores, ranked.scores[:KEEP], rtol=1e-5)


def test_the_cascade_is_the_trained_network_without_pretrained_weights(finished: Finished) -> None:
    run, _ = finished
    cascade, trained = load_model(run.cascade_path)[0], load_model(run.model_path)[0]
    for name, value in trained.backbone.state_dict().items():
        assert value.equal(cascade.backbone.state_dict()[name]), name
    rows = Store.open(run.stage("cascade_rows").folder / "store")
    assert (np.diff(rows.offsets) > 0).sum() == 9
    assert rows.field("labels").min() == 0 < rows.field("labels").max()


def test_recall_before_and_after_is_stated(finished: Finished) -> None:
    run, outcome = finished
    facts = run.stage("filter", "val").facts()
    assert (facts["images"], facts["kept"]) == (4, 4 * KEEP)
    assert 0 <= facts["recall_kept"] <= facts["recall"] <= 1
    text = f"cascade: {KEEP} of {facts['regions'] / 4:.0f} regions an image, recall at IoU 0.5 from "
    assert f"{text}{facts['recall']:.4f} to {facts['recall_kept']:.4f}\n" in outcome_text(outcome)
    assert compare_regions(outcome.dataset, *stores(run)) == outcome.cut
    assert run.stage("detect", "val", "context").facts()["regions"] == 4 * KEEP
    metrics = json.loads((outcome.folder / "metrics.json").read_text())
    assert metrics["proposals"][-1]["boxes_per_image"] == KEEP


def test_a_split_without_objects_has_no_recall(finished: Finished) -> None:
    run, outcome = finished
    bare = replace(outcome.dataset, objects=take(outcome.dataset.objects, np.empty(0, np.int64)))
    compared = compare_regions(bare, *stores(run))
    assert compared.recall is None
    assert compared.text().endswith("regions an image")


def test_the_detector_of_the_run_finds_what_the_run_found(finished: Finished) -> None:
    run, outcome = finished
    paths = [str(outcome.dataset.record(position).path) for position in range(4)]
    store = Store.open(run.stage("detect", "val", "context").folder / "store")
    for position, found in enumerate(load_detector(run.path).detect_many(paths)):
        wanted = store.read(position)
        np.testing.assert_array_equal(np.sort(found.labels), np.sort(wanted["labels"]))
        np.testing.assert_allclose(np.sort(found.scores), np.sort(wanted["scores"]), atol=1e-4)


def test_context_is_learned_from_the_regions_kept(finished: Finished) -> None:
    run, _ = finished
    slug = split_slug(run.read_config(Config, []).context.splits)
    kept, detected = run.stage("filter", slug).facts(), run.stage("context_rows", slug).facts()
    assert kept["kept"] == 3 * KEEP
    assert 0 < detected["detections"] <= 2 * kept["kept"]


def test_an_exported_detector_has_its_cascade(finished: Finished, tmp_path: Path) -> None:
    run, _ = finished
    copy = RunFolder(tmp_path / "copy")
    export_run(run, copy.path, safetensors=True, onnx=False)
    assert copy.cascade_path.read_bytes() == run.cascade_path.read_bytes()


def test_another_number_to_keep_repeats_what_depends_on_it_alone(
    finished: Finished, tiny_config_path: Path, words: list[str], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(finished[0].path, run.path)
    run_training(run, load_config(Config, tiny_config_path, words))
    assert stages_of_last_start(run) == []
    run_training(run, load_config(Config, tiny_config_path, [*words, "cascade.keep=3", "context.splits=[]"]))
    assert stages_of_last_start(run) == ["filter/val", "detect/val/softmax", "evaluate/val"]
    run_training(run, load_config(Config, tiny_config_path, [*words, "cascade.keep=0", "context.splits=[]"]))
    assert stages_of_last_start(run) == ["detect/val/softmax", "evaluate/val"]


def test_an_interrupted_filter_goes_on_to_the_same_store(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = finished
    config, (before, whole) = run.read_config(Config, []), stores(run)
    split = open_split(config.data, config.data.test)
    stage = RunFolder(tmp_path).stage("filter", "val")
    files = CascadeFiles(run.cascade_path, run.model_path)
    choose = RegionFilter.choose

    def break_after_two(self: RegionFilter, images: Regions) -> Iterator[Proposals]:
        for row, kept in enumerate(choose(self, images)):
            if row == 2:
                raise KeyboardInterrupt
            yield kept

    monkeypatch.setattr(RegionFilter, "choose", break_after_two)
    with pytest.raises(KeyboardInterrupt):
        run_cut(stage, split, before, files, config.cascade, config.engine)
    monkeypatch.setattr(RegionFilter, "choose", choose)
    again = run_cut(stage, split, before, files, config.cascade, config.engine)
    for name in ("boxes.npy", "scores.npy", "offsets.npy", "manifest.json"):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_an_image_of_fewer_regions_keeps_all(finished: Finished) -> None:
    run, _ = finished
    config = run.read_config(Config, [])
    kept = regions_of(Job(run, config, alone()), open_split(config.data, ("train",)))
    before = Store.open(run.stage("propose", "train").folder / "store")
    assert np.diff(before.offsets).min() < KEEP
    np.testing.assert_array_equal(np.diff(kept.offsets), np.minimum(np.diff(before.offsets), KEEP))


def test_a_run_without_a_cascade_is_one_line(finished: Finished, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    match = r"^run must hold a cascade, got none at .*; cascade.keep=0 does without$"
    with pytest.raises(DataError, match=match):
        load_detector(run.path, ["cascade.keep=5"])
    with pytest.raises(DataError, match=match):
        regions_of(Job(run, finished[0].read_config(Config, []), alone()), Split(finished[1].dataset, "val"))


def test_wrong_settings_of_a_cascade_are_one_line(
    tiny_config_path: Path, words: list[str], tmp_path: Path
) -> None:
    config = load_config(Config, tiny_config_path, [*words, "cascade.weights=nowhere.safetensors"])
    with pytest.raises(DataError, match=r"got nowhere.safetensors"):
        run_training(RunFolder(tmp_path / "run"), config)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r"cascade.keep must be a whole number from 0 to 1000000, got -1"):
        load_config(Config, tiny_config_path, ["cascade.keep=-1"])


def test_what_the_cascade_drops_and_context_changes_is_explained(finished: Finished) -> None:
    run, outcome = finished
    detector = load_detector(run.path)
    explanation = explained_as_detected(detector, read_image(outcome.dataset.record(0).path))
    trace = explanation.trace
    assert trace.scored == KEEP < trace.proposals
    assert trace.rescored is not None
    assert not np.array_equal(trace.rescored, trace.scores)
    assert any("Context's scores" in note for note in explanation.notes)


@pytest.fixture(scope="module")
def mapped(tiny_config_path: Path, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run whose cascade looks at the map that its regions share."""
    run = RunFolder(tmp_path_factory.mktemp("mapped") / "run")
    shared = ["region.mode=shared", "region.shared_side=64", "region.shared_longest=200", "context.splits=[]"]
    return run, run_training(run, load_config(Config, tiny_config_path, [*words, *shared]))


def test_regions_of_shared_maps_are_chosen_by_a_linear_look_at_them(mapped: Finished) -> None:
    run, outcome = mapped
    config = run.read_config(Config, [])
    before, after = stores(run)
    assert run.cascade_path.stat().st_size < run.model_path.stat().st_size / 20
    scorer = open_cascade(CascadeFiles(run.cascade_path, run.model_path), config.engine)
    images = Split(outcome.dataset, "val").load(ProposedRegions(before).boxes, range(4), 0)
    for position, scored in enumerate(scorer.score(images)):
        kept = read_proposals(after, position)
        ranked = rank_regions(scored.boxes[:, 0], scored.scores[:, 0], config.cascade.nms_iou)
        np.testing.assert_array_equal(kept.boxes, ranked.boxes[:KEEP])
        np.testing.assert_allclose(kept.scores, ranked.scores[:KEEP], rtol=1e-4)
    shared = load_model(run.model_path)[0].backbone.facts.shared
    assert load_objectness(run.cascade_path)[0].weight.shape == (1, 9 * shared.channels)


def test_a_detector_of_shared_maps_has_its_objectness(mapped: Finished, tmp_path: Path) -> None:
    run, outcome = mapped
    copy = RunFolder(tmp_path / "copy")
    export_run(run, copy.path, safetensors=True, onnx=False)
    store = Store.open(run.stage("detect", "val", "softmax").folder / "store")
    for path in (run.path, copy.path):
        found = load_detector(path).detect(read_image(outcome.dataset.record(0).path))
        np.testing.assert_allclose(np.sort(found.scores), np.sort(store.read(0)["scores"]), atol=2e-2)


def test_small_crops_can_choose_for_shared_maps_too(mapped: Finished) -> None:
    run, _ = mapped
    again = run_training(run, run.read_config(Config, ["cascade.sees=crops"]))
    assert again.cut is not None
    assert again.cut.kept == 4 * KEEP
    assert load_model(run.cascade_path)[2]["classes"] == ["object"]


def test_a_map_is_seen_where_there_is_one(tiny_config_path: Path) -> None:
    wanted = r"cascade.sees must be auto or crops but for region.mode shared without cascade.weights, got map"
    for word in ("region.mode=warp", "cascade.weights=other.npz"):
        with pytest.raises(ConfigError, match=wanted):
            load_config(Config, tiny_config_path, ["region.mode=shared", "cascade.sees=map", word])
