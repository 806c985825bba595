"""Regions that a cheap classifier keeps, and their scores by another."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from random_networks import randomise, settle

from detector.config import EngineSettings, RegionSettings
from detector.errors import DataError
from detector.inference.engine import RegionEngine, Regions
from detector.inference.region_filter import CascadeScorer, RegionFilter, best_regions
from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.weights import save_model
from detector.records import ClassScores, Float32, Image

ENGINE = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4)
REGION = RegionSettings(crop_size=32, padding=2)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = RegionClassifier(make_backbone("paper_bn"), 2)
    randomise(network)
    settle(network, REGION.crop_size)
    path = tmp_path_factory.mktemp("cascade") / "cascade.safetensors"
    save_model(
        path, network, backbone_facts("paper_bn").preprocessing, classes=["object"], region=REGION.model_dump()
    )
    return path


def pictures(*counts: int) -> list[tuple[Image, Float32]]:
    """Images of noise with so many random regions each."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (len(counts), 40, 60, 3)).astype(np.uint8)
    corners = [np.sort(random.uniform(0, 40, (count, 2, 2)), axis=1) for count in counts]
    return [(image, each.reshape(-1, 4).astype(np.float32)) for image, each in zip(images, corners, strict=True)]


def test_the_best_regions_come_first_and_of_equals_the_first() -> None:
    boxes = np.arange(16, dtype=np.float32).reshape(4, 4)
    kept = best_regions(boxes, np.array([0.2, 0.5, 0.1, 0.5], np.float32), keep=3)
    np.testing.assert_array_equal(kept.boxes, boxes[[1, 3, 0]])
    assert kept.scores.tolist() == pytest.approx([0.5, 0.5, 0.2])


def test_a_filter_keeps_what_the_classifier_takes_for_objects_most(path: Path) -> None:
    images = pictures(7, 0, 2, 5)
    kept = list(RegionFilter(path, 3, ENGINE).choose(images))
    assert [len(each.boxes) for each in kept] == [3, 0, 2, 3]
    for each, wanted in zip(kept, RegionEngine.load(path, settings=ENGINE).score(images), strict=True):
        order = np.argsort(-wanted.probs[:, 1], kind="stable")[:3]
        np.testing.assert_array_equal(each.boxes, wanted.boxes[order])
        np.testing.assert_allclose(each.scores, wanted.probs[order, 1], rtol=1e-5)


def test_a_scorer_sees_the_images_with_the_regions_kept(path: Path) -> None:
    class Widths:
        """Scores regions by their images' red corner and their number."""

        def score(self, images: Regions) -> Iterator[ClassScores]:
            for image, boxes in images:
                scores = np.full((len(boxes), 1), float(image[0, 0, 0]), np.float32)
                yield ClassScores(boxes[:, None], scores)

    images, regions = pictures(6, 3, 0, 9), RegionFilter(path, 4, ENGINE)
    found = list(CascadeScorer(regions, Widths()).score(iter(images)))
    for (image, _), each, kept in zip(images, found, regions.choose(images), strict=True):
        np.testing.assert_array_equal(each.boxes[:, 0], kept.boxes)
        assert (each.scores == image[0, 0, 0]).all()


def test_whole_numbers_are_no_matter_of_the_cascade(path: Path) -> None:
    settings = ENGINE.model_copy(update={"precision": "int8"})
    assert len(next(RegionFilter(path, 2, settings).choose(pictures(3))).boxes) == 2


def test_another_file_is_refused(tmp_path: Path) -> None:
    network, other = RegionClassifier(make_backbone("paper_bn"), 2), tmp_path / "other.safetensors"
    save_model(other, network, backbone_facts("paper_bn").preprocessing)
    with pytest.raises(DataError, match="weights must name the classes of a region classifier"):
        RegionFilter(other, 3, ENGINE)
