"""What `ObjectDetector.explain` gives, of a detector that nobody trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explained_images import explained_as_detected
from made_runs import write_run

from detector import load_detector
from detector.data.classes import ClassList
from detector.errors import ConfigError, DataError
from detector.evaluation.explained import KEPT, KnownObject
from detector.inference.detector import ObjectDetector
from detector.inference.explaining import MOST_SEEN, known_object
from detector.records import Image
from detector.runs.folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("made") / "run", "boxes.enabled=true", "svm.enabled=true")


@pytest.fixture(scope="module")
def picture() -> Image:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(20, 0).repeat(20, 1)


@pytest.mark.parametrize("method", ["softmax", "softmax+boxes", "svm", "svm+boxes"])
def test_an_image_is_explained_as_it_is_detected_in(run: RunFolder, picture: Image, method: str) -> None:
    explanation = explained_as_detected(load_detector(run.path, f"detect.method={method}"), picture)
    for detection in explanation.detections:
        assert (detection.moved == detection.region_box) == (not method.endswith("boxes"))
        row = explanation.trace.boxes[detection.rank].tolist()
        assert list(detection.region_box) == row
    assert np.count_nonzero(explanation.selection.status == KEPT) == len(explanation.detections)
    assert np.isnan(explanation.trace.background).all() == method.startswith("svm")


@pytest.mark.parametrize(
    "words", [["detect.nms=soft_linear"], ["detect.nms=soft_gaussian", "detect.voting_iou=0.5"]]
)
def test_soft_nms_and_votes_are_explained(tmp_path: Path, picture: Image, words: list[str]) -> None:
    run = write_run(tmp_path / "run", "boxes.enabled=true", "detect.min_score=0.001")
    explained_as_detected(load_detector(run.path, *words), picture)


def test_the_crops_are_what_the_network_is_given(run: RunFolder, picture: Image) -> None:
    detector = load_detector(run.path, "detect.method=softmax")
    explanation = detector.explain(picture, [KnownObject("cat", (0, 0, 160, 120))])
    best = explanation.verdicts[0].best_region
    seen = next(each for each in explanation.seen if each.region == best)
    x1, y1, x2, y2 = explanation.trace.boxes[best]
    assert seen.crops.shape == (1, 32, 32, 3)
    centre = picture[int((y1 + y2) / 2), int((x1 + x2) / 2)].astype(int)
    assert np.abs(seen.crops[0, 15:17, 15:17].astype(int) - centre).min() <= 2
    assert {each.name for each in seen.best} == {"cat", "dog"}


def test_regions_of_objects_are_shown_before_those_of_detections(run: RunFolder, picture: Image) -> None:
    detector = load_detector(run.path, "detect.max_per_image=0", "detect.nms_iou=0.9")
    objects = [KnownObject("cat", (x, 5, x + 60, 100)) for x in (0, 40, 80)]
    explanation = detector.explain(picture, objects, detector.min_score)
    regions = [each.region for each in explanation.seen]
    assert len(set(regions)) == len(regions) <= MOST_SEEN
    told = {verdict.best_region for verdict in explanation.verdicts}
    assert told <= set(regions[:6])


def test_a_false_detection_names_no_object_and_an_object_one_detection(run: RunFolder, picture: Image) -> None:
    detector = load_detector(run.path, "detect.nms_iou=0.8")
    box = detector.detect(picture).boxes[0].tolist()
    label = int(detector.detect(picture).labels[0])
    thing = KnownObject(detector.classes[label - 1], tuple(box))
    explanation = detector.explain(picture, [thing], detector.min_score)
    assert explanation.verdicts[0].kind == "found"
    assert [each.object for each in explanation.detections].count(0) == 1
    ignored = detector.explain(picture, [thing._replace(counts=False)], detector.min_score)
    assert ignored.verdicts[0].kind == "ignored"


def test_objects_may_be_plain_tuples() -> None:
    assert known_object(("cat", [1, 2, 3, 4])) == KnownObject("cat", (1.0, 2.0, 3.0, 4.0))
    assert known_object(KnownObject("cat", (1, 2, 3, 4), False)).counts is False


NO_OBJECTS: list[Any] = [
    ("cat", [1, 2, 3]),
    ("cat", [3, 2, 1, 4]),
    ("cat", [0, 0, float("nan"), 1]),
    (1, [1, 2, 3, 4]),
    "cat",
    5,
]


@pytest.mark.parametrize("wrong", NO_OBJECTS)
def test_what_is_no_object_is_refused(wrong: Any) -> None:
    with pytest.raises(DataError, match="object must be a name and a box x1, y1, x2, y2 with an area, got"):
        known_object(wrong)


def test_a_detector_of_parts_without_networks_says_so(run: RunFolder, picture: Image) -> None:
    whole = load_detector(run.path)
    bare = ObjectDetector(ClassList(whole.classes), whole.proposer, whole.scorer, whole.settings)
    with pytest.raises(ConfigError, match="load_detector"):
        bare.explain(picture)
    with pytest.raises(ConfigError, match=r"min_score must be a number in 0\.\.1"):
        load_detector(run.path, "detect.method=softmax").explain(picture, [], 2.0)
