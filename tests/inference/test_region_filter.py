"""Regions that a cheap classifier keeps, and their scores by another."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import randomise, settle
from trunk_passes import counted_maps

from detector.config import CascadeSettings, DetectSettings, EngineSettings, EnsembleSettings, RegionSettings
from detector.errors import DataError
from detector.files import file_hash
from detector.inference.engine import RegionEngine
from detector.inference.held_image import Regions, hold
from detector.inference.models import CascadeFiles, ModelFiles, open_scorer
from detector.inference.region_filter import (
    CascadeScorer,
    RegionFilter,
    check_cascade_files,
    open_cascade,
    rank_regions,
)
from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.heads import ObjectnessHead, load_objectness, save_head
from detector.networks.region_classifier import RegionClassifier
from detector.networks.roi_align import join_maps
from detector.networks.shared_map import place_regions, pool_windows, scale_image
from detector.networks.warp import prepare_image
from detector.networks.weight_files.weights import load_model, save_model
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


def open_filter(path: Path, keep: int, engine: EngineSettings = ENGINE, nms_iou: float = 1.0) -> RegionFilter:
    """The filter by a classifier of crops, by default without NMS."""
    return RegionFilter(CascadeFiles(path, path), CascadeSettings(keep=keep, nms_iou=nms_iou), engine)


def test_the_best_regions_come_first_and_of_equals_the_first() -> None:
    boxes = np.arange(16, dtype=np.float32).reshape(4, 4)
    ranked = rank_regions(boxes, np.array([0.2, 0.5, 0.1, 0.5], np.float32), 1.0)
    np.testing.assert_array_equal(ranked.boxes, boxes[[1, 3, 0, 2]])
    assert ranked.scores.tolist() == pytest.approx([0.5, 0.5, 0.2, 0.1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("iou", [0.0, 0.3, 0.8])
def test_what_overlaps_a_better_region_comes_after_all_that_does_not(seed: int, iou: float) -> None:
    random = np.random.default_rng(seed)
    corners = np.sort(random.uniform(0, 9, (40, 2, 2)), axis=1)
    corners[20:] = corners[:20] + random.uniform(0, 0.2, (20, 2, 2))
    boxes, scores = corners.reshape(40, 4).astype(np.float32), random.integers(0, 9, 40).astype(np.float32)
    ranked = rank_regions(boxes, scores, iou)
    kept: list[int] = []
    for row in sorted(range(40), key=lambda row: (-scores[row], row)):
        if all(overlaps(boxes[row], boxes[better]) <= iou for better in kept):
            kept.append(row)
    dropped = sorted(set(range(40)) - set(kept), key=lambda row: (-scores[row], row))
    assert 1 < len(kept) < 40
    np.testing.assert_array_equal(ranked.boxes, boxes[kept + dropped])
    np.testing.assert_array_equal(ranked.scores, scores[kept + dropped])


def overlaps(one: Float32, other: Float32) -> float:
    """The IoU of two boxes (4,)."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    inter = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    return inter / (sum(areas) - inter)


def test_a_filter_keeps_what_the_classifier_takes_for_objects_most(path: Path) -> None:
    images = pictures(7, 0, 2, 5)
    kept = list(open_filter(path, 3).choose(images))
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
                scores = np.full((len(boxes), 1), float(hold(image).pixels[0, 0, 0]), np.float32)
                yield ClassScores(boxes[:, None], scores)

    images, regions = pictures(6, 3, 0, 9), open_filter(path, 4)
    found = list(CascadeScorer(regions, Widths()).score(iter(images)))
    for (image, _), each, kept in zip(images, found, regions.choose(images), strict=True):
        np.testing.assert_array_equal(each.boxes[:, 0], kept.boxes)
        assert (each.scores == image[0, 0, 0]).all()


def test_whole_numbers_are_no_matter_of_the_cascade(path: Path) -> None:
    settings = ENGINE.model_copy(update={"precision": "int8"})
    assert len(next(open_filter(path, 2, settings).choose(pictures(3))).boxes) == 2


def test_another_file_is_refused(tmp_path: Path) -> None:
    network, other = RegionClassifier(make_backbone("paper_bn"), 2), tmp_path / "other.safetensors"
    save_model(other, network, backbone_facts("paper_bn").preprocessing)
    with pytest.raises(DataError, match="weights must name the classes of a region classifier"):
        open_filter(other, 3)


SHARED = RegionSettings(mode="shared", shared_side=(64,), shared_longest=96, crop_size=48, padding=0)


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> CascadeFiles:
    """A network of two classes, and a random objectness of 3 x 3 cells of its map."""
    folder = tmp_path_factory.mktemp("objectness")
    files = CascadeFiles(folder / "cascade.safetensors", folder / "network.safetensors")
    network = RegionClassifier(make_backbone("paper_bn"), 3)
    randomise(network)
    settle(network, 64)
    preprocessing = backbone_facts("paper_bn").preprocessing
    save_model(files.network, network, preprocessing, classes=["a", "b"], region=SHARED.model_dump())
    torch.manual_seed(0)
    head = ObjectnessHead(torch.randn(1, 832 * 9) / 60, torch.zeros(1))
    save_head(files.cascade, head, model=file_hash(files.network), region=SHARED.model_dump())
    return files


def test_objectness_is_a_linear_map_of_the_cells_of_the_map(looks: CascadeFiles) -> None:
    network, preprocessing, _ = load_model(looks.network)
    (head, _), shared = load_objectness(looks.cascade), network.backbone.facts.shared
    images = pictures(5, 0, 40)
    for (image, boxes), found in zip(images, open_cascade(looks, ENGINE).score(images), strict=True):
        np.testing.assert_array_equal(found.boxes[:, 0], boxes)
        assert found.scores.shape == (len(boxes), 1)
        prepared = prepare_image(torch.from_numpy(image), preprocessing)
        for box, score in zip(boxes, found.scores[:, 0], strict=True):
            placed = place_regions(torch.from_numpy(box)[None], image.shape[0], image.shape[1], SHARED, shared)
            with torch.no_grad():
                (table,) = (network.backbone.trunk(copy) for copy in scale_image(prepared, placed.sizes))
                cells = pool_windows(join_maps([table]), placed.windows, SHARED, shared)
            log_odds = float((head.weight[0] * cells.flatten()).sum() + head.bias)
            assert score == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-5)


def test_a_cascade_and_its_detector_make_the_map_of_an_image_once(
    looks: CascadeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = open_scorer([ModelFiles(looks.network)], EnsembleSettings(), ENGINE, DetectSettings())
    regions = RegionFilter(looks, CascadeSettings(keep=5, nms_iou=1), ENGINE)
    images = pictures(9, 0, 3)
    kept = [found.boxes for found in regions.choose(images)]
    wanted = list(detector.score((image, boxes) for (image, _), boxes in zip(images, kept, strict=True)))
    passes = counted_maps(monkeypatch)
    found = list(CascadeScorer(regions, detector).score(images))
    assert sum(passes) == 2
    for each, alone in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(each.boxes, alone.boxes)
        np.testing.assert_array_equal(each.scores, alone.scores)


def test_objectness_of_another_network_is_refused(looks: CascadeFiles, path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^head must be trained on .*, got that of another network"):
        check_cascade_files(CascadeFiles(looks.cascade, path))
    few = tmp_path / "few.safetensors"
    save_head(few, ObjectnessHead(torch.ones(1, 832), torch.zeros(1)), region=SHARED.model_dump())
    with pytest.raises(DataError, match=r"^cascade must be of 7488 numbers a region, got 832 \("):
        check_cascade_files(CascadeFiles(few, looks.network))
    save_head(few, ObjectnessHead(torch.ones(2, 832), torch.zeros(1)), region=SHARED.model_dump())
    with pytest.raises(
        DataError, match=r"weight and bias of a ObjectnessHead must have shapes \(1, F\) and \(1,\)"
    ):
        check_cascade_files(CascadeFiles(few, looks.network))
