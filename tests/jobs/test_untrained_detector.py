"""A detector of ImageNet's classes without training, and training that begins as one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bvlc_like import write_bvlc_like
from random_networks import randomise, settle

from detector import load_detector
from detector.config import Config, EngineSettings, RegionSettings, load_config
from detector.data.classes import ClassList, ilsvrc_det_classes
from detector.data.synsets import imagenet_synsets, synset_labels
from detector.errors import ConfigError, DataError
from detector.inference.engine import RegionEngine
from detector.jobs.model_card import model_card
from detector.jobs.network_task import network_task
from detector.jobs.train_detector import run_training
from detector.jobs.untrained_detector import untrained_config
from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.class_groups import class_groups
from detector.networks.weight_files.weights import load_model, save_model
from detector.records import Detections, Image
from detector.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]
WNIDS = {"n90000001": "n07739125", "n90000002": "n07753592"}  # of the synthetic classes, an apple's and a banana's
SMALL = ["region.crop_size=32", "region.padding=2", "proposals.max_boxes=12", "proposals.width=160"]
PLAIN = ["engine.device=cpu", "engine.backend=torch", "engine.precision=fp32", "engine.workers=0"]


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network of 1,000 classes."""
    network = RegionClassifier(make_backbone("tiny"), 1000)
    randomise(network)
    settle(network, 32)
    path = tmp_path_factory.mktemp("weights") / "imagenet.safetensors"
    save_model(path, network, backbone_facts("tiny").preprocessing)
    return path


@pytest.fixture(scope="module")
def fruit(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data, its classes called apples and bananas."""
    root = tmp_path_factory.mktemp("data") / "fruit"
    shutil.copytree(tiny_data, root)
    for path in (*root.rglob("*.xml"), root / "synsets.csv"):
        text = path.read_text()
        for theirs, ours in WNIDS.items():
            text = text.replace(theirs, ours)
        path.write_text(text)
    return root


@pytest.fixture
def picture() -> Image:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(20, 0).repeat(20, 1)


def config_of(path: Path, fruit: Path, imagenet: Path, *words: str) -> Config:
    data = [f"data.root={fruit}", "proposals.max_boxes=12", f"network.weights={imagenet}"]
    return load_config(Config, path, [*data, "network.head=synsets", "data.blacklist=null", *words])


def assert_same(one: Detections, two: Detections) -> None:
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_allclose(one.scores, two.scores, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-3)


def test_its_scores_are_sums_of_the_probabilities_of_imagenet_s_classes(imagenet: Path, picture: Image) -> None:
    detector = load_detector(imagenet, *SMALL, *PLAIN)
    assert detector.classes == ilsvrc_det_classes().names
    assert detector.wnids == ilsvrc_det_classes().wnids
    boxes = np.array([[0, 0, 100, 90], [20, 10, 150, 110]], np.float32)
    (scores,) = detector.scorer.score([(picture, boxes)])
    region = RegionSettings(crop_size=32, padding=2)
    settings = EngineSettings(device="cpu", backend="torch", precision="fp32")
    (found,) = RegionEngine.load(imagenet, region, settings).score([(picture, boxes)])
    labels = np.array(synset_labels(ilsvrc_det_classes()))
    for label in range(1, 201):
        wanted = found.probs[:, labels == label].sum(1)
        np.testing.assert_allclose(scores.scores[:, label - 1], wanted, rtol=1e-4)


def test_it_detects_what_it_is_asked_for(imagenet: Path, picture: Image) -> None:
    detector = load_detector(imagenet, *SMALL, *PLAIN, classes=["Dog", "n02121620", "traffic_light"])
    assert detector.classes == ("Dog", "n02121620", "traffic_light")
    assert detector.wnids == ("n02084071", "n02121620", "n06874185")
    found = detector.detect(picture)
    assert len(found.scores)
    assert {name for name, _, _ in detector.named(found)} <= set(detector.classes)


def test_maps_may_be_shared_and_crops_mirrored(imagenet: Path, picture: Image) -> None:
    shared = ["region.mode=shared", "region.shared_side=64", "ensemble.mirror=true"]
    found = load_detector(imagenet, *SMALL, *PLAIN, *shared, classes=["dog", "cat"]).detect(picture)
    assert len(found.scores)


def test_published_weights_of_caffe_need_no_more(tmp_path: Path, picture: Image) -> None:
    path = write_bvlc_like(tmp_path / "weights.npz")
    detector = load_detector(path, *SMALL, "proposals.max_boxes=2", *PLAIN)
    assert detector.config.network.variant == "paper"
    assert len(detector.detect(picture).scores)


def test_the_config_of_a_report_has_the_same_settings(imagenet: Path) -> None:
    written = load_config(Config, ROOT / "configs" / "without_training.yaml")
    own = untrained_config(imagenet, ["network.variant=paper", "network.weights=bvlc", "name=without_training"])
    assert own.model_copy(update={"data": written.data}) == written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["finetune.steps=5"], "must ask for no training"),
        (["svm.enabled=true"], "must ask for no training"),
        (["ensemble.members=2"], "must ask for no training"),
        (["detect.min_scor=1"], "did you mean detect.min_score"),
        (["region.wide_padding=40"], "region.wide_padding must be 0 for network.head synsets, got 40"),
        (["proposals.source=given", "proposals.given=x.npz"], "to detect in new images, got given"),
        (["network.variant=paper"], "weights must be of the variant paper, got those of tiny"),
    ],
)
def test_settings_that_it_cannot_have_are_one_line(imagenet: Path, words: list[str], message: str) -> None:
    with pytest.raises((DataError, ConfigError), match=message) as caught:
        load_detector(imagenet, *words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["dog", "unicorns"], "got 'unicorns'"),
        (["crane"], "got 'crane', which may mean n02012849"),
        (["dog", "Dog"], "must be different ones, got 'dog' and 'Dog' for n02084071"),
        ([], "class list must hold at least one class, got none"),
    ],
)
def test_classes_that_it_cannot_have_are_one_line(imagenet: Path, classes: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_detector(imagenet, classes=classes)


def test_weights_say_by_their_wnids_which_class_is_which(imagenet: Path, tmp_path: Path) -> None:
    network, preprocessing, _ = load_model(imagenet)
    wnids = imagenet_synsets().classes[::-1]
    path = tmp_path / "turned.safetensors"
    save_model(path, network, preprocessing, classes=list(wnids), wnids=list(wnids))
    asked = ClassList(("dog", "cat"))
    assert class_groups(path, asked) == class_groups(imagenet, asked)[::-1]


@pytest.mark.parametrize("stated", [{}, {"classes": [str(number) for number in range(1000)]}])
def test_weights_of_other_classes_are_refused(stated: dict[str, list[str]], tmp_path: Path) -> None:
    outputs = 1000 if stated else 999
    path = tmp_path / "others.safetensors"
    network = RegionClassifier(make_backbone("tiny"), outputs)
    save_model(path, network, backbone_facts("tiny").preprocessing, **stated)
    with pytest.raises(DataError, match=rf"must be of ImageNet's 1,000 classes, got {outputs} others"):
        class_groups(path, ClassList(("dog",)))


def test_a_run_without_steps_detects_as_the_weights_do(
    tiny_config_path: Path, fruit: Path, imagenet: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    outcome = run_training(run, config_of(tiny_config_path, fruit, imagenet, "finetune.steps=0"))
    assert outcome.report is not None
    assert len(outcome.report.ap) == 2
    assert not (run.path / "stages" / "propose" / "train").exists()  # nothing is learned there
    card = model_card(run, run.read_config(Config, []))
    assert "- Start: imagenet.safetensors, the probabilities of ImageNet's 1,000 classes summed by" in card
    assert "trained on" not in card
    detect = ["detect.min_score=0", "detect.max_per_image=20", "detect.voting_iou=0"]
    words = [*SMALL, *PLAIN, *detect, "proposals.superpixel_scale=8"]
    plain = load_detector(imagenet, *words, classes=list(WNIDS.values()))
    of_run = load_detector(run.path)
    for position in range(len(outcome.dataset)):
        path = outcome.dataset.record(position).path
        assert_same(of_run.detect(path), plain.detect(path))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["region.mode=shared", "region.shared_side=64", "boxes.enabled=true", "boxes.method=joint"],
        ["finetune.average=ema", "svm.enabled=true", "boxes.enabled=true"],
    ],
    ids=["crops", "shared", "averaged"],
)
def test_training_goes_on_from_the_sums(
    words: list[str], tiny_config_path: Path, fruit: Path, imagenet: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    config = config_of(tiny_config_path, fruit, imagenet, "finetune.steps=2", *words)
    outcome = run_training(run, config)
    assert outcome.report is not None
    trained, start = load_model(run.model_path)[0], load_model(imagenet)[0]
    assert trained.classifier.groups == class_groups(imagenet, outcome.dataset.classes)
    assert trained.classifier.weight.shape == start.classifier.weight.shape
    moved = (trained.classifier.weight - start.classifier.weight).abs().amax(1)
    assert moved.min() > 0  # all of the thousand rows
    assert len(load_detector(run.path).detect(outcome.dataset.record(0).path).scores)
    again = config_of(tiny_config_path, fruit, run.model_path, "finetune.steps=0")  # weights of the same classes
    task = network_task(again, outcome.dataset.classes)
    assert task.groups == ()


@pytest.mark.parametrize(
    ("classes", "words", "begins"),
    [
        (("apple", "banana"), [], True),
        (("apple", "striped star"), [], False),
        (("apple", "banana"), ["pretrain.steps=2"], False),
        (("apple", "banana"), ["region.wide_padding=4"], False),
        (("apple", "banana"), ["network.weights=null"], False),
    ],
)
def test_auto_begins_with_the_sums_where_there_are_any(
    classes: tuple[str, ...], words: list[str], begins: bool, tiny_config_path: Path, imagenet: Path
) -> None:
    own = [f"network.weights={imagenet}", "network.head=auto", *words]
    task = network_task(load_config(Config, tiny_config_path, own), ClassList(classes))
    assert bool(task.groups) == begins


def test_a_class_that_is_not_found_is_named_before_any_work(
    tiny_config_path: Path, tiny_data: Path, imagenet: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(
        DataError, match=r"network.head=synsets: class must be .*, got n90000001 \(striped star\)$"
    ):
        run_training(run, config_of(tiny_config_path, tiny_data, imagenet))
    assert not run.path.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["network.weights=null"],
            "network.weights must be of ImageNet's classes for network.head synsets, got none",
        ),
        (["pretrain.steps=1"], "pretrain.steps must be 0 for network.head synsets, got 1"),
        (["network.head=auto", "finetune.steps=0"], "svm.enabled must be true for finetune.steps 0"),
    ],
)
def test_a_start_that_the_settings_contradict_is_named(
    words: list[str], message: str, tiny_config_path: Path, imagenet: Path
) -> None:
    own = [f"network.weights={imagenet}", "network.head=synsets", *words]
    with pytest.raises(ConfigError, match=message):
        load_config(Config, tiny_config_path, own)


@pytest.mark.shared
def test_published_weights_find_what_photographs_show(shared: Path) -> None:
    folder = shared / "data" / "fruit" / "train"
    detector = load_detector(
        shared / "weights" / "bvlc_googlenet.npz", "proposals.max_boxes=30", classes=["apple", "banana", "orange"]
    )
    torch.set_num_threads(1)
    for name in ("banana", "orange"):
        photo = next(path for path in sorted(folder.glob(f"{name}_*.jpg")))
        assert detector.named(detector.detect(photo))[0].name == name
