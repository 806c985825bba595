import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import noise, photograph, randomise
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from detector.choices import BACKBONES
from detector.errors import DataError
from detector.networks.auxiliary import WithAuxiliaryHeads
from detector.networks.backbones import backbone_facts, make_backbone
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import BVLC, IMAGENET, normalise
from detector.networks.weight_files.safetensors_files import state_hash
from detector.networks.weight_files.weights import (
    load_heads,
    load_model,
    load_pretrained,
    load_state,
    read_weights,
    save_model,
)

NAMES = ", ".join(BACKBONES)

Arrays = dict[str, np.ndarray]
CLASSES = 10


def write_npz(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def trained() -> WithAuxiliaryHeads:
    """The paper's network and its heads, with random numbers everywhere."""
    network = WithAuxiliaryHeads(RegionClassifier(make_backbone("paper"), CLASSES))
    randomise(network)
    return network.eval()


@pytest.fixture(scope="module")
def all_arrays(trained: WithAuxiliaryHeads) -> Arrays:
    """Its arrays under the Caffe names."""
    state = {**trained.network.state_dict(), **{f"heads.{k}": v for k, v in trained.heads.state_dict().items()}}
    return {
        f"{theirs}.{kind}": state[f"{ours}.{kind}"].numpy()
        for theirs, ours in backbone_facts("paper").foreign["Caffe"].items()
        for kind in ("weight", "bias")
    }


@pytest.fixture(scope="module")
def bvlc_arrays(all_arrays: Arrays) -> Arrays:
    """Without the auxiliary heads, as the published file is for inference."""
    return {key: value for key, value in all_arrays.items() if not key.startswith(("loss1/", "loss2/"))}


def test_a_caffe_layer_goes_to_its_place(tmp_path: Path, bvlc_arrays: Arrays) -> None:
    path = write_npz(tmp_path / "w.npz", bvlc_arrays)
    network = RegionClassifier(make_backbone("paper"), CLASSES)
    assert load_pretrained(network, path) == BVLC
    state = network.state_dict()
    assert len(bvlc_arrays) == len(state) == 116
    wanted = bvlc_arrays["inception_4c/5x5_reduce.weight"]
    np.testing.assert_array_equal(state["backbone.inception.4c.reduce5.conv.weight"], wanted)
    np.testing.assert_array_equal(state["classifier.bias"], bvlc_arrays["loss3/classifier.bias"])


def test_a_caffe_file_with_auxiliary_heads_loads_without_them(
    tmp_path: Path, trained: WithAuxiliaryHeads, all_arrays: Arrays
) -> None:
    path = write_npz(tmp_path / "w.npz", all_arrays)
    assert len(all_arrays) == 116 + 12
    network = RegionClassifier(make_backbone("paper"), CLASSES).eval()
    load_pretrained(network, path)
    images = noise(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), trained.network(images))
        torch.testing.assert_close(load_model(path)[0](images), trained.network(images))


def test_the_auxiliary_heads_of_a_caffe_file_go_to_their_places(
    tmp_path: Path, trained: WithAuxiliaryHeads, all_arrays: Arrays
) -> None:
    path = write_npz(tmp_path / "w.npz", all_arrays)
    network = WithAuxiliaryHeads(load_model(path)[0]).eval()
    assert load_heads(network, path)
    images = noise(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), trained(images))
    first = network.heads.state_dict()["4a.hidden.weight"]
    np.testing.assert_array_equal(first, all_arrays["loss1/fc.weight"])


def test_a_file_without_heads_or_with_those_of_other_classes_loads_none(
    tmp_path: Path, bvlc_arrays: Arrays, all_arrays: Arrays
) -> None:
    assert not load_heads(
        WithAuxiliaryHeads(RegionClassifier(make_backbone("paper"), CLASSES)),
        write_npz(tmp_path / "a.npz", bvlc_arrays),
    )
    assert not load_heads(
        WithAuxiliaryHeads(RegionClassifier(make_backbone("paper"), 4)), write_npz(tmp_path / "b.npz", all_arrays)
    )


def test_fine_tuning_keeps_its_own_classifier(tmp_path: Path, bvlc_arrays: Arrays) -> None:
    network = RegionClassifier(make_backbone("paper"), 4)
    before = network.classifier.weight.clone()
    load_pretrained(network, write_npz(tmp_path / "w.npz", bvlc_arrays))
    torch.testing.assert_close(network.classifier.weight, before)
    conv1 = network.state_dict()["backbone.conv1.conv.bias"]
    np.testing.assert_array_equal(conv1, bvlc_arrays["conv1/7x7_s2.bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"conv2/3x3.weight": np.zeros((192, 64, 5, 5), np.float32)},
            r"conv2\.conv\.weight must have shape \(192, 64, 3, 3\), got \(192, 64, 5, 5\)",
        ),
        ({"conv9.weight": np.zeros(1, np.float32)}, "Caffe layers of GoogLeNet paper, got conv9.weight"),
        ({"conv1/7x7_s2.scale": np.zeros(1, np.float32)}, r"layers only, got backbone\.conv1\.conv\.scale"),
        ({"inception_5b/1x1.bias": None}, r"must hold backbone\.inception\.5b\.conv1\.conv\.bias"),
        ({"loss3/classifier.weight": None}, r"must hold classifier\.weight"),
    ],
)
def test_wrong_arrays_are_named(
    tmp_path: Path, bvlc_arrays: Arrays, change: dict[str, np.ndarray | None], message: str
) -> None:
    arrays = {key: value for key, value in (bvlc_arrays | change).items() if value is not None}
    with pytest.raises(DataError, match=message + r".*\(.*w\.npz\)$"):
        load_pretrained(RegionClassifier(make_backbone("paper"), 4), write_npz(tmp_path / "w.npz", arrays))


def test_weights_of_another_variant_are_named(tmp_path: Path, bvlc_arrays: Arrays) -> None:
    path = write_npz(tmp_path / "w.npz", bvlc_arrays)
    message = (
        r"must be of the variant paper_bn, got those of paper \(.*w\.npz\); network\.variant=paper takes them$"
    )
    with pytest.raises(DataError, match=message):
        load_pretrained(RegionClassifier(make_backbone("paper_bn"), 4), path)


@pytest.mark.parametrize("name", ["a.npz", "a.pth", "a.safetensors", "a.caffemodel"])
def test_a_missing_or_broken_file_is_named(tmp_path: Path, name: str) -> None:
    network = RegionClassifier(make_backbone("paper_bn"), 4)
    with pytest.raises(DataError, match=name):
        load_pretrained(network, tmp_path / name)
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(DataError, match=name) as caught:
        load_pretrained(network, tmp_path / name)
    assert "\n" not in str(caught.value)


class Dangerous:
    """What a pickle may run when it is read."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return _note, ("ran",)


NOTES: list[str] = []


def _note(word: str) -> None:
    NOTES.append(word)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2, 3], "must be a state dict of tensors"),
        ({"conv1.conv.weight": 3}, "must be a state dict of tensors"),
        ({"model": {"conv1.conv.weight": torch.zeros(1)}}, "must be a state dict of tensors"),
        (nn.Linear(2, 2), "must be a readable state dict"),
        (Dangerous(), "must be a readable state dict"),
        (
            {"encoder.0.weight": torch.zeros(1)},
            r"torchvision layers of GoogLeNet torchvision, got encoder\.0\.weight",
        ),
    ],
)
def test_a_pth_of_something_else_is_named(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "a.pth"
    torch.save(content, path)
    with pytest.raises(DataError, match=message + r".*a\.pth") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert NOTES == []


def test_a_plain_pickle_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps(Dangerous(), protocol=2))
    with pytest.raises(DataError, match=r"must be a readable state dict, got .*a\.pth"):
        load_model(path)
    assert NOTES == []


def test_an_unknown_kind_of_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.pth or \.safetensors file, got .*a\.pkl$"):
        read_weights(tmp_path / "a.pkl")


def test_bgr_weights_are_turned_to_rgb(tmp_path: Path, bvlc_arrays: Arrays) -> None:
    weights = read_weights(write_npz(tmp_path / "w.npz", bvlc_arrays))
    turned = weights.in_rgb()
    assert (turned.preprocessing.channel_order, turned.preprocessing.mean) == ("RGB", (123.0, 117.0, 104.0))
    assert turned.outputs == weights.outputs == CLASSES
    images = photograph(2, 64, 65, 3)
    logits = []
    for each in (weights, turned):
        network = RegionClassifier(make_backbone("paper"), CLASSES).eval()
        load_state(network, each.network(), each.path)
        with torch.inference_mode():
            logits.append(network(normalise(images, each.preprocessing)))
    assert logits[0].std() > 1
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-3)


def test_rgb_weights_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, RegionClassifier(make_backbone("paper_bn"), 4), IMAGENET)
    weights = read_weights(path)
    assert weights.in_rgb() is weights


def test_a_saved_model_comes_back_with_all_it_needs(tmp_path: Path) -> None:
    network = RegionClassifier(make_backbone("paper_bn"), 4)
    path = tmp_path / "m.safetensors"
    save_model(path, network, IMAGENET, classes=["a", "b", "c"])
    again, preprocessing, metadata = load_model(path)
    assert (preprocessing, metadata["classes"]) == (IMAGENET, ["a", "b", "c"])
    assert (again.backbone.variant, again.training) == ("paper_bn", False)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, rtol=0, atol=0)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    network = RegionClassifier(make_backbone("paper_bn"), 4)
    for name in ("a", "b"):
        save_model(tmp_path / name, network, IMAGENET, classes=["a", "b", "c"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("place", [-1, -12_345_678])
def test_a_changed_byte_of_the_weights_is_found(tmp_path: Path, place: int) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, RegionClassifier(make_backbone("paper_bn"), 4), IMAGENET)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"must have the hash \w{64} of their metadata, got \w{64} \(.*m\.saf"):
        load_model(path)


def test_the_hash_is_that_of_names_types_shapes_and_values() -> None:
    state = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    wanted = state_hash(state)
    assert state_hash(dict(reversed(state.items()))) == wanted
    assert state_hash({"a": torch.zeros(3, 2).T, "b": torch.ones(1)}) == wanted
    others: list[dict[str, Tensor]] = [
        {"c": state["a"], "b": state["b"]},
        {"a": state["a"].double(), "b": state["b"]},
        {"a": state["a"].T, "b": state["b"]},
        {"a": state["a"], "b": -state["b"]},
        {"a": state["a"]},
    ]
    assert len({state_hash(other) for other in others} | {wanted}) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "densenet"}, f"variant in {NAMES}, got 'densenet'"),
        ({"variant": None}, "must state variant in their metadata"),
        ({"preprocessing": None}, "must state preprocessing in their metadata"),
    ],
)
def test_wrong_metadata_are_named(tmp_path: Path, change: dict[str, str | None], message: str) -> None:
    path = tmp_path / "m.safetensors"
    facts = {"variant": "paper", "outputs": 2, "preprocessing": BVLC.to_dict()} | change
    kept = {key: value for key, value in facts.items() if value is not None}
    save_file({"a": torch.zeros(1)}, path, {"detector": json.dumps(kept)})
    with pytest.raises(DataError, match=message + r".*\(.*m\.safetensors\)$"):
        read_weights(path)


def test_a_safetensors_file_of_another_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(
        DataError, match=r"must state preprocessing in their metadata, got none \(.*m\.safetensors\)$"
    ):
        read_weights(path)


def test_weights_without_a_hash_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, RegionClassifier(make_backbone("paper"), 2), BVLC)
    facts = {"variant": "paper", "outputs": 2, "preprocessing": BVLC.to_dict()}
    save_file(load_file(path), path, {"detector": json.dumps(facts)})
    assert load_model(path)[2] == facts


def test_each_variant_has_its_input() -> None:
    assert backbone_facts("paper").preprocessing.channel_order == "BGR"
    assert backbone_facts("paper_bn").preprocessing == IMAGENET
    assert backbone_facts("torchvision").preprocessing.scale == (127.5, 127.5, 127.5)
