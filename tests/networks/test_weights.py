from pathlib import Path

import numpy as np
import pytest
import torch

from detector.errors import DataError
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import BVLC, IMAGENET
from detector.networks.weights import BVLC_LAYERS, load_model, load_pretrained, save_model


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bvlc_arrays() -> dict[str, np.ndarray]:
    """Random arrays under the Caffe names, in the shapes of the paper's network."""
    torch.manual_seed(0)
    state = RegionClassifier("paper", 1000).state_dict()
    return {
        f"{theirs}.{kind}": state[f"{ours}.{kind}"].numpy() + 0.5
        for theirs, ours in BVLC_LAYERS.items()
        for kind in ("weight", "bias")
    }


def test_a_caffe_layer_goes_to_its_place(tmp_path: Path, bvlc_arrays: dict[str, np.ndarray]) -> None:
    write_npz(tmp_path / "w.npz", bvlc_arrays)
    network = RegionClassifier("paper", 1000)
    assert load_pretrained(network, tmp_path / "w.npz") == BVLC
    state = network.state_dict()
    assert len(bvlc_arrays) == len(state) == 116
    wanted = bvlc_arrays["inception_4c/5x5_reduce.weight"]
    np.testing.assert_array_equal(state["backbone.inception.4c.reduce5.conv.weight"], wanted)
    np.testing.assert_array_equal(state["classifier.bias"], bvlc_arrays["loss3/classifier.bias"])


def test_fine_tuning_keeps_its_own_classifier(tmp_path: Path, bvlc_arrays: dict[str, np.ndarray]) -> None:
    write_npz(tmp_path / "w.npz", bvlc_arrays)
    network = RegionClassifier("paper", 4)
    before = network.classifier.weight.clone()
    load_pretrained(network, tmp_path / "w.npz")
    torch.testing.assert_close(network.classifier.weight, before)
    conv1 = network.state_dict()["backbone.conv1.conv.bias"]
    np.testing.assert_array_equal(conv1, bvlc_arrays["conv1/7x7_s2.bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"conv2/3x3.weight": np.zeros((192, 64, 5, 5), np.float32)},
            r"conv2\.conv\.weight must have shape \(192, 64, 3, 3\)",
        ),
        ({"conv9.weight": np.zeros(1, np.float32)}, "Caffe layers, got conv9.weight"),
        ({"inception_5b/1x1.bias": None}, r"must hold backbone\.inception\.5b\.conv1\.conv\.bias"),
    ],
)
def test_wrong_arrays_are_named(
    tmp_path: Path, bvlc_arrays: dict[str, np.ndarray], change: dict[str, np.ndarray | None], message: str
) -> None:
    arrays = {key: value for key, value in (bvlc_arrays | change).items() if value is not None}
    write_npz(tmp_path / "w.npz", arrays)
    with pytest.raises(DataError, match=message):
        load_pretrained(RegionClassifier("paper", 4), tmp_path / "w.npz")


def test_bvlc_weights_do_not_fit_the_batch_norm_variant(
    tmp_path: Path, bvlc_arrays: dict[str, np.ndarray]
) -> None:
    write_npz(tmp_path / "w.npz", bvlc_arrays)
    with pytest.raises(DataError, match=r"must hold backbone\.conv1\.norm\.weight"):
        load_pretrained(RegionClassifier("paper_bn", 4), tmp_path / "w.npz")


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_a_missing_or_broken_file_is_named(tmp_path: Path, name: str) -> None:
    network = RegionClassifier("paper_bn", 4)
    with pytest.raises(DataError, match=name):
        load_pretrained(network, tmp_path / name)
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(DataError, match=name):
        load_pretrained(network, tmp_path / name)


def test_an_unknown_kind_of_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.npz or \.safetensors file, got .*a\.pkl"):
        load_pretrained(RegionClassifier("paper_bn", 4), tmp_path / "a.pkl")


def test_a_saved_model_comes_back_with_all_it_needs(tmp_path: Path) -> None:
    network = RegionClassifier("paper_bn", 4)
    path = tmp_path / "m.safetensors"
    save_model(path, network, IMAGENET, classes=["a", "b", "c"])
    again, preprocessing, metadata = load_model(path)
    assert (preprocessing, metadata["classes"]) == (IMAGENET, ["a", "b", "c"])
    for key, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, rtol=0, atol=0)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    network = RegionClassifier("paper_bn", 4)
    for name in ("a", "b"):
        save_model(tmp_path / name, network, IMAGENET, classes=["a", "b", "c"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
