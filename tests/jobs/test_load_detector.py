"""A trained detector on any image."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from made_runs import CLASSES, write_run

from detector import load_detector
from detector.config import Config
from detector.data.classes import read_classes
from detector.data.images import read_image
from detector.errors import ConfigError, DataError
from detector.jobs.outcome import Outcome
from detector.jobs.run_settings import run_config
from detector.jobs.test_detector import run_testing
from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.heads import SvmHead, save_head
from detector.networks.multibox import MultiBox
from detector.networks.weight_files.multibox_weights import save_multibox
from detector.networks.weight_files.weights import load_model, save_model
from detector.records import Detections, Image
from detector.runs.folder import RunFolder
from detector.runs.store import Store

Finished = tuple[RunFolder, Outcome]


@pytest.fixture(scope="module")
def picture() -> Image:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(20, 0).repeat(20, 1)


def assert_as_tested(run: RunFolder, outcome: Outcome, method: str, tolerance: float) -> None:
    """Stored features are halves: what they bring in another order must still be there, but for rare ties."""
    store = Store.open(run.stage("detect", "val", method).folder / "store")
    paths = [str(outcome.dataset.record(position).path) for position in range(len(outcome.dataset))]
    found = list(load_detector(run.path, f"detect.method={method}").detect_many(paths))
    assert len(found) == len(store)
    for position, detections in enumerate(found):
        wanted = store.read(position)
        count = len(wanted["scores"])
        assert count == len(detections.scores) > 0
        near = np.abs(wanted["scores"][:, None] - detections.scores) <= tolerance * np.abs(wanted["scores"]).max()
        near &= np.abs(wanted["boxes"][:, None] - detections.boxes).max(axis=2) <= 100 * tolerance  # pixels
        near &= wanted["labels"][:, None] == detections.labels
        assert near.any(axis=1).sum() >= 0.9 * count


def test_images_get_the_detections_of_test_det(finished_run: Finished) -> None:
    run, outcome = finished_run
    assert_as_tested(run, outcome, "softmax", 1e-5)


def test_images_get_the_detections_of_test_det_by_svms_and_moved_boxes(tiny_data: Path, tmp_path: Path) -> None:
    words = ["data.format=ilsvrc", f"data.root={tiny_data}", "data.classes=synsets.csv", "data.test=val"]
    heads = ["svm.enabled=true", "boxes.enabled=true"]
    names = read_classes(tiny_data / "synsets.csv").names
    run = write_run(tmp_path / "run", *words, *heads, classes=names)
    outcome = run_testing(run, run.read_config(Config, []), ("val",))
    assert_as_tested(run, outcome, "svm+boxes", 5e-3)


def test_the_file_of_the_network_is_enough(made: RunFolder, picture: Image) -> None:
    detector = load_detector(made.model_path)
    assert detector.classes == CLASSES
    one, two = detector.detect(picture), load_detector(made.path).detect(picture)
    assert len(one.scores) == 20
    assert_same(one, two)


def test_a_path_is_as_good_as_its_pixels_and_a_view_of_them(
    made: RunFolder, finished_run: Finished, tmp_path: Path
) -> None:
    detector = load_detector(made.path)
    path = finished_run[1].dataset.record(0).path
    pixels = read_image(path)
    assert_same(detector.detect(path), detector.detect(pixels))
    assert_same(detector.detect(path), detector.detect(pixels[:, :, ::-1].copy()[:, :, ::-1]))


def test_threads_change_nothing_and_read_no_more_than_a_little_ahead(made: RunFolder, picture: Image) -> None:
    taken = 0

    def pictures() -> Iterator[Image]:
        nonlocal taken
        for shift in range(40):
            taken += 1
            yield np.roll(picture, shift, axis=1)

    plain = load_detector(made.path).detect_many(pictures())
    expected = [next(plain) for _ in range(3)]
    taken = 0
    found = load_detector(made.path, "engine.workers=2").detect_many(pictures())
    for wanted in expected:
        assert_same(next(found), wanted)
        assert taken < 30


def write_multibox(path: Path, *priors: list[float]) -> list[str]:
    """The settings of a MultiBox network that proposes its priors."""
    network = MultiBox(make_backbone("paper_bn"), "learned", torch.tensor(priors))
    for parameter in network.head.parameters():
        torch.nn.init.zeros_(parameter)
    save_multibox(path, network, backbone_facts("paper_bn").preprocessing)
    return [f"proposals.multibox.weights={path}", "proposals.multibox.scales=[1]", "engine.batch_size=2"]


def test_multibox_proposes_in_groups_of_images(made: RunFolder, picture: Image, tmp_path: Path) -> None:
    words = write_multibox(tmp_path / "multibox.safetensors", [0.1, 0.1, 0.6, 0.6], [0.3, 0.2, 0.9, 0.9])
    detector = load_detector(made.path, "proposals.source=union", *words)
    images = [picture, picture[:60], picture[:, :90]]
    several = list(detector.detect_many(images))
    assert len(several) == 3
    assert all(len(found.scores) for found in several)
    assert_same(several[2], detector.detect(images[2]))


def test_an_image_without_regions_has_no_detections(made: RunFolder, picture: Image, tmp_path: Path) -> None:
    words = write_multibox(tmp_path / "multibox.safetensors", [0.5, 0.5, 0.5, 0.5])
    detector = load_detector(made.path, "proposals.source=multibox", *words)
    assert not len(detector.detect(picture).scores)


def test_detections_are_named_and_drawn(made: RunFolder, picture: Image) -> None:
    detector = load_detector(made.path)
    found = detector.detect(picture)
    names, scores, boxes = zip(*detector.named(found), strict=True)
    assert set(names) <= set(CLASSES)
    assert list(scores) == found.scores.tolist()
    assert list(map(list, boxes)) == found.boxes.tolist()
    np.testing.assert_array_equal(detector.draw(picture, found, min_score=1.0), picture)
    assert (detector.draw(picture, found, min_score=0.0) != picture).any()


def test_the_least_score_can_be_changed(made: RunFolder, picture: Image) -> None:
    detector = load_detector(made.path, "detect.max_per_image=0")
    scores = detector.detect(picture).scores
    detector.min_score = float(scores[len(scores) // 2])
    assert detector.detect(picture).scores.min() >= detector.min_score


def test_images_that_are_none_are_named(made: RunFolder, tmp_path: Path) -> None:
    detector = load_detector(made.path)
    with pytest.raises(DataError, match=r"image must be \(H, W, 3\) uint8 RGB, got \(4, 4\) float64"):
        detector.detect(np.zeros((4, 4)))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"nowhere\.jpg"):
        detector.detect(tmp_path / "nowhere.jpg")


def test_wrong_paths_and_settings_are_one_line(made: RunFolder, tmp_path: Path) -> None:
    cases: list[tuple[Path, list[str], str]] = [
        (tmp_path / "none", [], "detector must be a run folder, a file of weights or one of bvlc, .*, got"),
        (tmp_path, [], "config.yaml"),
        (made.path, ["detect.min_scor=1"], "did you mean detect.min_score"),
        (made.model_path, ["detect.min_scor=1"], "did you mean detect.min_score"),
        (made.path, ["proposals.source=given", "proposals.given=x.npz"], "to detect in new images, got given"),
        (made.path, ["region.padding=5"], "region.padding must be what the network was trained on, .*, got 5"),
        (
            made.model_path,
            ["region.fill=image"],
            "region.fill must be what .* trained on, mean, got image",
        ),
        (made.path, ["svm.enabled=true"], r"must hold a trained model, got none at .*svm.safetensors"),
        (made.model_path, ["finetune.steps=0", "svm.enabled=true"], "whose SVMs are in another file"),
    ]
    for path, words, message in cases:
        with pytest.raises((DataError, ConfigError), match=message) as caught:
            load_detector(path, *words)
        assert "\n" not in str(caught.value)


def test_multibox_weights_that_are_gone_are_taken_from_the_run(tmp_path: Path) -> None:
    words = ["proposals.source=union", "proposals.multibox.weights=gone.safetensors"]
    run = write_run(tmp_path / "run", *words)
    assert run_config(run).proposals.multibox.weights == Path("gone.safetensors")
    run.multibox_path.write_bytes(b"")
    assert run_config(run).proposals.multibox.weights == run.multibox_path


def test_multibox_weights_of_an_exported_model_are_those_that_lie_with_it(tmp_path: Path) -> None:
    trained, other = tmp_path / "trained.safetensors", tmp_path / "other.safetensors"
    run = write_run(tmp_path / "run", "proposals.source=union", f"proposals.multibox.weights={trained}")
    for path in (trained, run.multibox_path):
        path.touch()
    assert run_config(run).proposals.multibox.weights == trained
    run.card_path.touch()  # of an export: what lies at the path may be of another training by now
    assert run_config(run).proposals.multibox.weights == run.multibox_path
    assert run_config(run, [f"proposals.multibox.weights={other}"]).proposals.multibox.weights == other


def test_a_file_without_classes_is_refused(made: RunFolder, tmp_path: Path) -> None:
    network, preprocessing, facts = load_model(made.model_path)
    path = tmp_path / "x.safetensors"
    save_model(path, network, preprocessing)
    with pytest.raises(DataError, match="must state the config of train_det"):
        load_detector(path)
    save_model(path, network, preprocessing, config=facts["config"], region=facts["region"], classes=["cat"])
    with pytest.raises(DataError, match="must name the classes"):
        load_detector(path)


def test_heads_of_other_classes_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "svm.enabled=true")
    save_head(run.svm_path, SvmHead(torch.zeros(3, 1024), torch.zeros(3)))
    with pytest.raises(DataError, match="head must be of 2 classes, got 3"):
        load_detector(run.path)


def test_the_package_alone_loads_no_torch() -> None:
    code = "import sys, detector; detector.load_detector; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def assert_same(one: Detections, two: Detections) -> None:
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_allclose(one.scores, two.scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-3)
