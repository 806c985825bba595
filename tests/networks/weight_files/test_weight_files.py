"""Files of weights that hold something else: one line, whatever is in them, and nothing of them is run."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from full_disk import FULL, no_file_above
from safetensors.torch import save, save_file
from torch import Tensor, nn

from detector.choices import BACKBONES
from detector.errors import DataError
from detector.networks.preprocessing import BVLC
from detector.networks.weight_files.safetensors_files import read_tensors, state_hash, write_tensors
from detector.networks.weight_files.states import FLOATS
from detector.networks.weight_files.weights import load_model, read_weights

NAMES = ", ".join(BACKBONES)

SUFFIXES = (".caffemodel", ".npz", ".pth", ".pt", ".safetensors")
LAYER, CAFFE, TORCH = "backbone.conv1.conv.bias", "conv1/7x7_s2.bias", "conv1.conv.weight"
FACTS = {"variant": "paper", "preprocessing": BVLC.to_dict()}


def refused(path: Path, read: Callable[[Path], object] = read_weights) -> str:
    """The one line that says why `path` is not read, less its name."""
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert "weights_only" not in message
    assert "pickle" not in message
    return message.replace(str(path), "FILE")


def write_safetensors(path: Path, tensors: dict[str, Tensor], **facts: Any) -> Path:
    path.write_bytes(save(tensors, {"detector": json.dumps(FACTS | facts)}))
    return path


def write_npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_file_is_not_opened(tmp_path: Path, suffix: str) -> None:
    wanted = "weights must be a readable file, got FILE "
    path = tmp_path / f"a{suffix}"
    assert refused(path) == f"{wanted}(No such file or directory)"
    path.mkdir()
    assert refused(path) == f"{wanted}(it is a folder)"
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    assert refused(pipe) == f"{wanted}(it is no regular file)"
    with pytest.raises(DataError, match="no file can be called so"):
        read_weights(tmp_path / f"\0{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"\0", b"PK\x03\x04", b"\x93NUMPY\x01\0", b"\xff" * 99, b"{}" * 50])
def test_what_is_none_of_the_formats_is_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert refused(path).startswith("weights must be a readable ")


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_of_any_width_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.tensor([0.5, -2.0, 96.0]).to(dtype)
    weights = read_weights(write_safetensors(tmp_path / "a.safetensors", {LAYER: values}))
    assert torch.equal(weights.state[LAYER], torch.tensor([0.5, -2.0, 96.0]))
    torch.save({TORCH: values}, tmp_path / "a.pth")
    (found,) = read_weights(tmp_path / "a.pth").state.values()
    assert (found.dtype, found.tolist()) == (torch.float32, [0.5, -2.0, 96.0])


@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8"])
def test_arrays_of_either_byte_order_are_read(tmp_path: Path, kind: str) -> None:
    path = write_npz(tmp_path / "a.npz", **{CAFFE: npy(np.array([0.5, -2, 96], kind))})
    assert read_weights(path).state[LAYER].tolist() == [0.5, -2, 96]


NUMBERS = "float16, bfloat16, float32, float64, float8_e4m3fn, float8_e5m2"
WRONG_TENSORS: list[tuple[Tensor, str]] = [
    (torch.ones(2, dtype=torch.int64), f"must be numbers of {NUMBERS}, got int64"),
    (torch.ones(2, dtype=torch.bool), f"must be numbers of {NUMBERS}, got bool"),
    (torch.ones(2, dtype=torch.complex64), f"must be numbers of {NUMBERS}, got complex64"),
    (torch.tensor([1, float("nan")]), "must be finite, got NaN or infinity"),
    (torch.tensor([1, float("-inf")]), "must be finite, got NaN or infinity"),
    (torch.tensor([1e300], dtype=torch.float64), "must be finite, got NaN or infinity"),
]


@pytest.mark.parametrize(("tensor", "message"), WRONG_TENSORS)
def test_values_that_are_no_weights_are_named(tmp_path: Path, tensor: Tensor, message: str) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", {"first": torch.ones(1), LAYER: tensor})
    assert refused(path) == f"weights of {LAYER} {message} (FILE)"
    torch.save({TORCH: tensor}, tmp_path / "a.pth")
    assert refused(tmp_path / "a.pth") == f"weights of {TORCH} {message} (FILE)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({3: torch.ones(1)}, "weights must be a state dict of tensors by name, got the key 3 (FILE)"),
        ({None: torch.ones(1)}, "weights must be a state dict of tensors by name, got the key None (FILE)"),
        ({TORCH: {"a": 1}}, f"weights must be a state dict of tensors, got {{'a': 1}} as {TORCH} (FILE)"),
        ({TORCH: None}, f"weights must be a state dict of tensors, got None as {TORCH} (FILE)"),
        (torch.ones(1), "weights must be a state dict of tensors, got tensor([1.]) (FILE)"),
        (7, "weights must be a state dict of tensors, got 7 (FILE)"),
        (
            {"a\nb": torch.ones(1)},
            r"weights must hold the torchvision layers of GoogLeNet torchvision, got a\nb (FILE)",
        ),
    ],
)
def test_a_pth_that_is_no_state_is_named(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    assert refused(tmp_path / "a.pth") == message


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, 2).to_sparse(),
        torch.ones(1).expand(10**9, 1024),  # a view of one value
        torch.empty(3, device="meta"),
    ],
)
def test_a_tensor_without_its_values_is_named(tmp_path: Path, tensor: Tensor) -> None:
    torch.save({TORCH: tensor}, tmp_path / "a.pth")
    wanted = f"weights of {TORCH} must be a dense tensor with all of its values, got none (FILE)"
    assert refused(tmp_path / "a.pth") == wanted


def test_a_module_is_refused_and_not_made(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "a.pth")
    reason = "it is damaged, or holds more than tensors and plain values"
    assert refused(tmp_path / "a.pth") == f"weights must be a readable state dict, got FILE ({reason})"


class Dangerous:
    """What a pickle may run when it is read."""

    ran = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _note, ()


def _note() -> None:
    Dangerous.ran = True


NO_ARRAY = f"array must be a whole one of numbers, got a damaged one or objects: {CAFFE} (FILE)"


@pytest.mark.parametrize(
    "content",
    [
        npy(np.array([Dangerous()])),
        npy(np.array([{"a": 1}], object)),
        b"",
        b"no array",
        npy(np.ones(100, np.float32))[:-1],
        npy(np.ones(2, np.float32)).replace(b"(2,), }", b"(10**15,), }"[:7]),
        npy(np.ones(2, np.float32)).replace(b"(2,), }                 ", b"(2000000000000000000,), }"),
        npy(np.ones(2, np.float32)).replace(b"(2,)", b"(-2)"),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
    ],
)
def test_an_array_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    assert refused(write_npz(tmp_path / "a.npz", **{CAFFE: content})) == NO_ARRAY
    assert not Dangerous.ran


@pytest.mark.parametrize(
    "array",
    [
        np.ones(2, np.int64),
        np.ones(2, np.longdouble),
        np.array(["a"]),
        np.array([1], "datetime64[s]"),
        np.zeros(2, [("a", np.float32)]),
        np.ones(2, np.complex64),
    ],
)
def test_an_array_of_other_numbers_is_named(tmp_path: Path, array: np.ndarray) -> None:
    wanted = f"array must be of float16, float32 or float64, got {array.dtype}: {CAFFE} (FILE)"
    assert refused(write_npz(tmp_path / "a.npz", **{CAFFE: npy(array)})) == wanted


def test_an_array_file_alone_is_no_npz(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npy(np.ones(2)))
    assert refused(tmp_path / "a.npz") == "weights must be a readable .npz file, got FILE (File is not a zip file)"


def test_arrays_that_come_twice_or_expand_without_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            archive.writestr(f"{CAFFE}.npy", npy(np.ones(2)))
    assert refused(path) == "weights must hold each array once, got one of them twice (FILE)"
    monkeypatch.setattr("detector.networks.weight_files.npz_files.MOST_BYTES", 1000)
    np.savez_compressed(path, zeros=np.zeros(10_000))
    assert path.stat().st_size < 1000
    assert refused(path) == "weights must be of at most 1,000 bytes, got more (FILE)"


def header(text: str, length: int | None = None) -> bytes:
    """A safetensors file of a header and four bytes."""
    content = text.encode()
    return (len(content) if length is None else length).to_bytes(8, "little") + content + bytes(4)


TENSOR = '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'


@pytest.mark.parametrize(
    "content",
    [
        header(TENSOR)[:30],
        header(TENSOR, 2**63 - 1),
        header(TENSOR, 2**64 - 1),
        header("[]"),
        header("[" * 10_000),
        header(TENSOR.replace("[1]", "[2]")),
        header(TENSOR.replace("[1]", f"[{2**62}]")),
        header(TENSOR.replace("[0, 4]", "[4, 0]")),
        header(TENSOR.replace("F32", "X32")),
        header(TENSOR.replace("F32", "F4")),
        header(TENSOR.replace("}}", '}, "__metadata__": 3}')),
        header(TENSOR.replace("}}", '}, "__metadata__": {"detector": 3}}')),
    ],
)
def test_a_damaged_header_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert refused(path).startswith("weights must be a readable safetensors file, got FILE (")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "metadata of weights must be an object, got [1] (FILE)"),
        ("null", "metadata of weights must be an object, got None (FILE)"),
        ("{", "metadata of weights must be valid JSON, got FILE (Expecting property name"),
        ("[" * 100_000, "metadata of weights must be valid JSON, got FILE (it nests too deeply)"),
        ('{"a": 1, "a": 2}', "metadata of weights must be valid JSON, got FILE (key 'a' comes twice"),
        ('{"a": ' + "9" * 5000 + "}", "metadata of weights must be valid JSON, got FILE (a number has too many"),
        ('{"hash": null}', "weights must have the hash None of their metadata, got "),
        ('{"hash": ["a\\nb"]}', r"weights must have the hash ['a\nb'] of their metadata, got "),
    ],
)
def test_metadata_that_are_none_are_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": torch.zeros(1)}, {"detector": text}))
    assert refused(path, read_tensors).startswith(message)


NO_INPUT = "preprocessing of weights: it must state channel_order, mean, scale and no more, got "


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"variant": ["paper"]},
            f"weights must be of a variant in {NAMES}, got ['paper'] (FILE)",
        ),
        ({"variant": {}}, f"weights must be of a variant in {NAMES}, got {{}} (FILE)"),
        ({"variant": None}, f"weights must be of a variant in {NAMES}, got None (FILE)"),
        ({"preprocessing": None}, f"{NO_INPUT}None (FILE)"),
        ({"preprocessing": [1, 2, 3]}, f"{NO_INPUT}[1, 2, 3] (FILE)"),
        ({"preprocessing": {"mean": 1}}, f"{NO_INPUT}{{'mean': 1}} (FILE)"),
        (
            {"preprocessing": BVLC.to_dict() | {"channel_order": "XYZ"}},
            "preprocessing of weights: channel_order must be RGB or BGR, got 'XYZ' (FILE)",
        ),
        (
            {"preprocessing": BVLC.to_dict() | {"scale": [1, 0, 1]}},
            "preprocessing of weights: scale must be three numbers in 1e-06..1e+06, got [1, 0, 1] (FILE)",
        ),
    ],
)
def test_what_a_header_states_wrongly_is_named(tmp_path: Path, facts: dict[str, Any], message: str) -> None:
    assert refused(write_safetensors(tmp_path / "a.safetensors", {LAYER: torch.ones(1)}, **facts)) == message


def test_an_input_with_more_than_is_known_is_refused(tmp_path: Path) -> None:
    facts = {"preprocessing": BVLC.to_dict() | {"gamma": 2.2}}
    assert refused(write_safetensors(tmp_path / "a.safetensors", {}, **facts)).startswith(NO_INPUT)


@pytest.mark.parametrize(
    ("tensor", "got"),
    [
        (torch.zeros(()), "()"),
        (torch.zeros(1024), "(1024,)"),
        (torch.zeros(3, 0), "(3, 0)"),
        (torch.zeros(0, 1024), "(0, 1024)"),
        (torch.zeros(3, 1000), "(3, 1000)"),
        (torch.zeros(3, 1024, 1), "(3, 1024, 1)"),
    ],
)
def test_a_classifier_of_another_shape_is_named(tmp_path: Path, tensor: Tensor, got: str) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", {"classifier.weight": tensor})
    wanted = f"weights of classifier.weight must have shape (outputs, 1024 a crop), got {got} (FILE)"
    assert refused(path, load_model) == wanted


@pytest.mark.parametrize("outputs", [4, "3", None, True, [3], float("nan"), 1e300])
def test_another_number_of_outputs_than_the_classifier_s_is_named(tmp_path: Path, outputs: object) -> None:
    tensors = {"classifier.weight": torch.ones(3, 1024)}
    path = write_safetensors(tmp_path / "a.safetensors", tensors, outputs=outputs)
    message = refused(path, load_model)
    assert message.startswith("outputs must be those of the classifier, 3, got ")


def test_a_variance_below_zero_is_named(tmp_path: Path) -> None:
    key = "backbone.conv1.norm.running_var"
    path = write_safetensors(tmp_path / "a.safetensors", {key: torch.tensor([1, -0.5])}, variant="paper_bn")
    assert refused(path) == f"weights of {key} must be at least 0, got -0.5 (FILE)"


def test_nothing_is_saved_that_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.zeros(1)}, {})
    before = path.read_bytes()
    state = {"a": torch.zeros(2), "b": torch.tensor([0, float("inf")])}
    message = "weights of b must be finite to be saved, got NaN or infinity (FILE)"
    assert refused(path, lambda path: write_tensors(path, state, {})) == message
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.zeros(1)}, {})
    before = path.read_bytes()
    with no_file_above(100_000), pytest.raises(DataError) as caught:
        write_tensors(path, {"a": torch.zeros(100_000)}, {})
    assert str(caught.value) == f"{path} must be writable ({FULL})"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_are_those_of_the_package_s_own_writer(tmp_path: Path) -> None:
    state = {"b": torch.randn(3, 4), "a": torch.zeros(()), "c": torch.zeros(0, 3), "d": torch.arange(3)}
    write_tensors(tmp_path / "a.safetensors", state, {"x": [1]})
    metadata = {"detector": json.dumps({"hash": state_hash(state), "x": [1]})}
    save_file(state, tmp_path / "b.safetensors", metadata)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_file_of_no_tensors_and_of_empty_ones_has_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for state in ({}, {"a": torch.zeros(0, 3), "b": torch.zeros(())}):
        write_tensors(path, state, {})
        found, facts = read_tensors(path)
        assert facts["hash"] == state_hash(found) == state_hash(state)
