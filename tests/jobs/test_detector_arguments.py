"""What a detector is given from outside: wrong kinds of things are told in one line, before any work."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import load_detector
from detector.errors import ConfigError, DataError, UserError
from detector.inference.detector import ObjectDetector
from detector.records import Detections, Image
from detector.runs.folder import RunFolder

PICTURE: Image = np.zeros((40, 60, 3), np.uint8)
FOUND = Detections(np.array([[1, 2, 30, 35]], np.float32), np.array([1], np.int64), np.array([0.5], np.float32))
NO_SCORES: list[Any] = ["0.5", None, True, np.nan, 2, np.inf, -1, [0.5], np.array([0.5, 0.6])]


@pytest.fixture(scope="module")
def soft(made: RunFolder) -> ObjectDetector:
    return load_detector(made.path, "detect.nms=soft_linear", "detect.min_score=0.01")


def refused(kind: type[UserError], words: str, call: Callable[..., object], *given: Any, **named: Any) -> None:
    with pytest.raises(kind) as caught:
        call(*given, **named)
    assert words in str(caught.value)


@pytest.mark.parametrize("score", NO_SCORES, ids=repr)
def test_what_is_no_score_is_refused_by_all_who_are_given_one(loaded: ObjectDetector, score: Any) -> None:
    before = loaded.min_score
    wanted = "min_score must be a number in 0..1, got "
    refused(ConfigError, wanted, setattr, loaded, "min_score", score)
    assert loaded.min_score == before
    if score is not None:
        refused(ConfigError, wanted, loaded.draw, PICTURE, FOUND, min_score=score)
        refused(ConfigError, wanted, loaded.explain, PICTURE, min_score=score)


@pytest.mark.parametrize("score", [0, 1, 0.25, np.float32(0.25), np.float64(1), np.int64(0)], ids=repr)
def test_a_score_is_any_kind_of_number(
    loaded: ObjectDetector, score: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "_min_score", 0.5)
    loaded.min_score = score
    assert loaded.min_score == float(score)
    assert type(loaded.min_score) is float


@pytest.mark.parametrize("score", [0, 0.0, -0.0, 1e-400], ids=repr)
def test_soft_suppression_wants_a_score_above_0_at_once(soft: ObjectDetector, score: float) -> None:
    wanted = "min_score must be above 0 with detect.nms=soft_linear, got "
    refused(ConfigError, wanted, setattr, soft, "min_score", score)
    refused(ConfigError, wanted, soft.explain, "gone.jpg", min_score=score)
    assert soft.min_score == 0.01
    assert soft.draw(PICTURE, FOUND, min_score=0).any()  # what is there already can be drawn


@pytest.mark.parametrize("label", [3, 9])
def test_labels_of_no_class_are_refused(loaded: ObjectDetector, label: int) -> None:
    found = replace(FOUND, labels=np.array([label], np.int64))
    for call in (loaded.named, lambda each: loaded.draw(PICTURE, each, min_score=0.9)):
        refused(DataError, f"labels must be in 1..2, got {label}", call, found)


@pytest.mark.parametrize("given", [None, [], ([[1, 2, 3, 4]], [1], [0.5]), "cat"], ids=repr)
def test_what_are_no_detections_is_refused(loaded: ObjectDetector, given: Any) -> None:
    refused(DataError, "detections must be those of a detector, got ", loaded.named, given)
    refused(DataError, "detections must be those of a detector, got ", loaded.draw, PICTURE, given)


@pytest.mark.parametrize("given", ["photo.jpg", b"photo.jpg", Path("photo.jpg"), PICTURE, None, 3], ids=repr)
def test_one_image_is_not_many(loaded: ObjectDetector, given: Any) -> None:
    refused(DataError, "images must be several paths or arrays, as in a list, got ", loaded.detect_many, given)


def test_an_array_of_pictures_is_many(loaded: ObjectDetector) -> None:
    assert len(list(loaded.detect_many(np.zeros((2, 40, 60, 3), np.uint8)))) == 2


@pytest.mark.parametrize("given", ["", [[1], [2, 3]], None, 3, "gone.jpg", "a\0b"], ids=repr)
def test_what_is_no_image_is_refused(loaded: ObjectDetector, given: Any) -> None:
    refused(DataError, "image must be ", loaded.detect, given)


def test_an_empty_path_is_shown_as_it_is(loaded: ObjectDetector) -> None:
    refused(DataError, "image must be the path of a file or (H, W, 3) uint8 RGB, got ''", loaded.detect, "")
    refused(DataError, "alexnet, vgg16, resnet50, inception_v3, got ''", load_detector, "")


@pytest.mark.parametrize("given", [None, 3, b"run", ["run"]], ids=repr)
def test_what_is_no_path_of_a_detector_is_refused(given: Any) -> None:
    refused(DataError, "detector must be a run folder, a file of weights or one of bvlc, ", load_detector, given)


@pytest.mark.parametrize("word", [None, 3, ["detect.nms_iou=0.4"]], ids=repr)
def test_settings_are_text(made: RunFolder, word: Any) -> None:
    for path in (made.path, made.model_path):
        refused(ConfigError, "override must be text that reads section.key=value, got ", load_detector, path, word)


@pytest.mark.parametrize("classes", ["dog", 3, ["dog", 3], b"dog"], ids=repr)
def test_classes_are_a_list_of_names(made: RunFolder, classes: Any) -> None:
    for path in (made.path, made.model_path, "bvlc"):
        refused(ConfigError, "classes must be a list of names, got ", load_detector, path, classes=classes)


@pytest.mark.parametrize("objects", ["cat", None, 3], ids=repr)
def test_objects_are_several(loaded: ObjectDetector, objects: Any) -> None:
    refused(DataError, "objects must be several of a name and a box, ", loaded.explain, PICTURE, objects)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "network.variant=vgg16",
            "network.variant must be what the network was trained with, 'tiny', got 'vgg16' (",
        ),
        (
            "network.weights=bvlc",
            "network.weights must be what the detector was trained with, None, got 'bvlc' (",
        ),
        ("svm.c=0.5", "svm.c must be what the detector was trained with, 0.001, got 0.5 ("),
        ("data.classes=[cow]", "data.classes must be those of the detector, cat, dog, got cow ("),
        ("data.classes=[dog, cat]", "data.classes must be those of the detector, cat, dog, got dog, cat ("),
    ],
)
def test_settings_on_which_a_trained_detector_cannot_act_are_refused(
    made: RunFolder, word: str, message: str
) -> None:
    for path in (made.path, made.model_path):
        refused(ConfigError, message, load_detector, path, "detect.nms_iou=0.4", word)


def test_what_is_as_it_was_trained_may_be_said_again(made: RunFolder) -> None:
    words = ["network.variant=tiny", "data.classes=[cat, dog]", "data.root=elsewhere"]
    assert load_detector(made.path, *words).classes == ("cat", "dog")
    assert load_detector(made.path, "data.classes=elsewhere.csv").classes == ("cat", "dog")


def test_settings_of_a_run_that_were_cut_off_make_no_other_detector(made: RunFolder) -> None:
    text = made.config_path.read_text()
    try:
        for whole, kept in ((text, "pretrain:"), (text[text.index("name:") :], "pretrain:"), (text, "# the")):
            made.config_path.write_text(whole[: whole.index(kept)])
            refused(ConfigError, "config of a run must ", load_detector, made.path)
    finally:
        made.config_path.write_text(text)
