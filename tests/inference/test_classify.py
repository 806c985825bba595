from pathlib import Path

import numpy as np
import pytest
import torch

from detector.config import EngineSettings
from detector.data.images import read_image
from detector.data.labelled_images import read_labelled_images
from detector.inference.classify import ImageClassifier
from detector.inference.multi_crop import cut_crops
from detector.networks.backbones import make_backbone
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import IMAGENET
from detector.networks.weight_files.weights import load_model


@pytest.mark.parametrize("batch_size", [3, 16])
def test_probabilities_are_means_over_the_first_crops(batch_size: int) -> None:
    torch.manual_seed(0)
    network = RegionClassifier(make_backbone("paper_bn"), 4).eval()
    torch.nn.init.normal_(network.classifier.weight, std=0.3)
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, size, dtype=np.uint8) for size in ((40, 60, 3), (50, 41, 3))]
    engine = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=batch_size)
    found = list(ImageClassifier(network, IMAGENET, 32, engine).classify(iter(images), (1, 10)))
    for probs, image in zip(found, images, strict=True):
        with torch.inference_mode():
            each = network(cut_crops(torch.from_numpy(image), 10, IMAGENET, 32)).softmax(1).numpy()
        np.testing.assert_allclose(probs, [each[0], each.mean(0)], atol=1e-5)


@pytest.mark.shared
def test_the_bvlc_network_knows_real_photographs_from_one_crop(shared: Path) -> None:
    images = read_labelled_images(shared / "data/ilsvrc_cls_mini", "val", Path("images"))
    network, preprocessing, _ = load_model(shared / "weights/bvlc_googlenet.npz")
    classifier = ImageClassifier(
        network, preprocessing, 224, EngineSettings(device="cpu", backend="torch", precision="fp32")
    )
    probs = np.concatenate(list(classifier.classify(read_image(Path(path)) for path in images.paths)))
    guesses = probs.argsort(1)[:, ::-1] + 1
    assert (guesses[:, 0] == images.labels).mean() >= 0.77
    assert (guesses[:, :5] == images.labels[:, None]).any(1).mean() >= 0.92
