from pathlib import Path

import numpy as np
import torch
from random_networks import randomise

from detector.boxes import encode_boxes
from detector.inference.score import FeatureScorer, refine, unrefined
from detector.networks.backbones import make_backbone
from detector.networks.heads import SvmHead, save_head
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import IMAGENET
from detector.networks.weight_files.weights import save_model

FEATURES = np.random.default_rng(0).random((4, 1024), np.float32)


def test_softmax_scores_are_the_classifier_s_without_background(tmp_path: Path) -> None:
    network = RegionClassifier(make_backbone("paper_bn"), 3)
    randomise(network)
    save_model(tmp_path / "model.safetensors", network, IMAGENET)
    found = FeatureScorer.softmax(tmp_path / "model.safetensors").scores(FEATURES)
    with torch.inference_mode():
        wanted = network.eval().classify(torch.from_numpy(FEATURES)).softmax(1)[:, 1:]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_svm_scores_are_taken_as_they_are(tmp_path: Path) -> None:
    head = SvmHead(torch.randn(2, 1024), torch.tensor([0.5, -3.0]))
    save_head(tmp_path / "svm.safetensors", head)
    found = FeatureScorer.svm(tmp_path / "svm.safetensors").scores(FEATURES)
    np.testing.assert_allclose(found, FEATURES @ head.weight.numpy().T + head.bias.numpy(), rtol=1e-4)


def test_each_class_has_its_own_moved_box_within_the_image() -> None:
    regions = np.array([[10, 10, 30, 40], [50, 5, 90, 60]], np.float32)
    targets = np.array([[[12, 8, 33, 44], [-20, 10, 30, 40]], [[50, 5, 90, 60], [60, 0, 200, 70]]], np.float32)
    offsets = np.stack([encode_boxes(regions, targets[:, c]) for c in range(2)], 1).astype(np.float32)
    moved = refine(regions, offsets, height=50, width=100)
    wanted = np.clip(targets, 0, [100, 50, 100, 50])
    np.testing.assert_allclose(moved, wanted, atol=1e-3)
    assert moved.dtype == np.float32


def test_without_moves_all_classes_share_the_regions() -> None:
    regions = np.array([[10, 10, 30, 40]], np.float32)
    found = unrefined(regions, np.array([[0.1, 0.7]], np.float32))
    assert found.boxes.tolist() == [[[10, 10, 30, 40]] * 2]
    none = unrefined(regions[:0], np.empty((0, 2), np.float32))
    assert none.boxes.shape == (0, 2, 4)
