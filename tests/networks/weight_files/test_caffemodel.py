import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles_caffe import BYTES, FIXED32, FIXED64, VARINT, Layout, field, varint, write_caffemodel

from detector.errors import DataError
from detector.networks.weight_files.caffemodel import read_caffemodel
from detector.records import Array

LAYOUTS = [Layout(*flags) for flags in itertools.product((1, 2), (True, False), (True, False), (True, False))]
GROUP = 3


def small_net() -> dict[str, Array]:
    generator = np.random.default_rng(0)
    shapes = {
        "conv1/7x7_s2.weight": (4, 3, 5, 5),
        "conv1/7x7_s2.bias": (4,),
        "no_bias.weight": (300, 2, 1, 1),
        "loss3/classifier.weight": (6, 4),
        "loss3/classifier.bias": (6,),
    }
    return {key: generator.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


def one_layer(*blobs: bytes, name: bytes = b"conv1") -> bytes:
    """A new layer with blobs given as bytes."""
    return field(100, BYTES, field(1, BYTES, name) + b"".join(field(7, BYTES, blob) for blob in blobs))


def sizes(*values: int) -> bytes:
    return field(7, BYTES, field(1, BYTES, b"".join(map(varint, values))))


def floats(*values: float) -> bytes:
    return field(5, BYTES, struct.pack(f"<{len(values)}f", *values))


def read_bytes(folder: Path, content: bytes) -> dict[str, torch.Tensor]:
    path = folder / "net.caffemodel"
    path.write_bytes(content)
    return read_caffemodel(path)


def assert_same(got: dict[str, torch.Tensor], wanted: dict[str, Array]) -> None:
    assert list(got) == list(wanted)
    for key, array in wanted.items():
        assert got[key].dtype == torch.float32
        np.testing.assert_array_equal(got[key].numpy(), array, strict=True)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_layout_gives_the_same_arrays(tmp_path: Path, layout: Layout) -> None:
    path = write_caffemodel(tmp_path / "net.caffemodel", small_net(), layout)
    assert_same(read_caffemodel(path), small_net())


def test_a_file_worked_by_hand(tmp_path: Path) -> None:
    layer = b"\x12\x19\x22\x01a"  # field 2 of 25 bytes; in it field 4 of 1 byte
    blob = b"\x32\x12\x08\x01\x10\x01\x18\x01\x20\x02"  # field 6 of 18 bytes; sizes 1, 1, 1, 2
    values = b"\x2a\x08\x00\x00\x80\x3f\x00\x00\x00\xc0"  # field 5 of 8 bytes: 1 and -2
    other = b"\x38\x07"  # field 7 = 7, nothing of ours
    got = read_bytes(tmp_path, layer + blob + values + other)
    assert_same(got, {"a.weight": np.array([[1, -2]], np.float32)})


@pytest.mark.parametrize(
    ("stored", "weight", "bias"),
    [
        ((64, 3, 7, 7), (64, 3, 7, 7), None),
        ((1, 3, 7, 7), (1, 3, 7, 7), None),
        ((1, 1, 6, 4), (6, 4), None),
        ((1, 1, 1, 4), (1, 4), (4,)),
        ((1, 1, 1, 1), (1, 1), (1,)),
        ((4, 1, 1, 1), (4, 1, 1, 1), (4, 1, 1, 1)),
    ],
)
def test_the_four_sizes_of_old_caffe_become_natural(
    tmp_path: Path, stored: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...] | None
) -> None:
    blob = b"".join(field(axis, VARINT, varint(size)) for axis, size in enumerate(stored, 1))
    blob += floats(*range(int(np.prod(stored))))
    got = read_bytes(tmp_path, one_layer(blob, blob))
    assert got["conv1.weight"].shape == weight
    if bias is not None:
        assert got["conv1.bias"].shape == bias


def test_a_stated_shape_is_kept(tmp_path: Path) -> None:
    got = read_bytes(tmp_path, one_layer(sizes(1, 1, 1, 2) + floats(1, 2)))
    assert got["conv1.weight"].shape == (1, 1, 1, 2)


def test_values_in_pieces_are_joined(tmp_path: Path) -> None:
    single = field(5, FIXED32, struct.pack("<f", 3))
    got = read_bytes(tmp_path, one_layer(floats(1, 2) + single + sizes(2, 2) + floats(4)))
    assert_same(got, {"conv1.weight": np.array([[1, 2], [3, 4]], np.float32)})


def test_gradients_beside_the_weights_are_skipped(tmp_path: Path) -> None:
    diff = field(6, BYTES, bytes(8)) + field(9, BYTES, bytes(16))
    got = read_bytes(tmp_path, one_layer(floats(1, 2) + diff + sizes(2)))
    assert_same(got, {"conv1.weight": np.array([1, 2], np.float32)})


def test_arrays_can_be_written_to(tmp_path: Path) -> None:
    got = read_bytes(tmp_path, one_layer(sizes(2) + floats(1, 2)))
    got["conv1.weight"] += 1
    assert got["conv1.weight"].tolist() == [2, 3]


OVERRUN = field(1, BYTES, b"conv1") + field(7, BYTES, sizes(1) + floats(1))[:-1]
BROKEN = {
    "empty": (b"", "no layer has weights"),
    "no layers with blobs": (Layout().net({}), "no layer has weights"),
    "text": (b"<html><body>404 Not Found</body></html>", "ends .* bytes after its message|unknown wire type"),
    "a group": (field(9, GROUP, b""), "field 9 has the unknown wire type 3"),
    "zeros": (bytes(100), "a field has the number 0"),
    "no end of a number": (b"\xff" * 100, "a number has no end"),
    "a huge length": (b"\x12" + varint(2**63 - 1) + b"abc", "field 2 ends 9223372036854775804 bytes after its"),
    "a fixed field cut": (field(77, FIXED64, b"1234"), "field 77 ends 4 bytes after its message"),
    "a blob that overruns": (field(100, BYTES, OVERRUN), "layer 'conv1': field 7 ends 1 bytes after its message"),
    "a name that is no text": (one_layer(name=b"\xff"), "layer '': 'utf-8' codec can't decode"),
    "a name in two lines": (one_layer(sizes(1), name=b"a\nb"), r"layer 'a\\nb': weight has 0 values"),
    "too few values": (
        one_layer(sizes(2, 3) + floats(1, 2)),
        r"layer 'conv1': weight has 2 values for the shape \(2, 3\)",
    ),
    "a wrong bias": (
        one_layer(sizes(1) + floats(1), sizes(1) + floats(1, 2)),
        r"layer 'conv1': bias has 2 values for the shape \(1,\)",
    ),
    "no shape": (one_layer(floats(1, 2)), r"weight has 2 values for the shape \(\)"),
    "an empty array": (one_layer(sizes(0, 3)), r"weight has 0 values for the shape \(0, 3\)"),
    "a huge shape": (one_layer(sizes(*[2**63 - 1] * 32) + floats(1)), "weight has 1 values for the shape"),
    "a negative size": (one_layer(sizes(2**64 - 2, 1) + floats(1, 2)), "weight has 2 values for the shape"),
    "too many axes": (one_layer(sizes(*[1] * 33) + floats(1)), "weight has more than 32 axes"),
    "a cut value": (
        one_layer(sizes(1) + field(5, BYTES, b"12345")),
        "layer 'conv1': 5 bytes are no whole number of torch.float32 values",
    ),
    "three blobs": (one_layer(*[sizes(1) + floats(1)] * 3), "layer 'conv1': more blobs than weight and bias"),
    "a name twice": (one_layer(sizes(1) + floats(1)) * 2, "two layers have 'conv1.weight'"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_told_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_bytes(tmp_path, content)
    assert str(caught.value).startswith(f"weights must be a readable caffemodel, got {tmp_path}")
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"readable file, got .*a\.caffemodel \(No such file"):
        read_caffemodel(tmp_path / "a.caffemodel")
    with pytest.raises(DataError, match=r"readable file, got .* \(it is a folder\)"):
        read_caffemodel(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_file_cut_inside_its_layer_is_never_read(tmp_path: Path, layout: Layout) -> None:
    content = layout.net({"conv.weight": np.ones((2, 1, 2, 2)), "conv.bias": np.ones(2)})
    for length in range(len(content)):
        with pytest.raises(DataError):
            read_bytes(tmp_path, content[:length])


def test_a_file_cut_between_layers_has_fewer_layers(tmp_path: Path) -> None:
    first, second = Layout().layer("a", np.ones(2)), Layout().layer("b", np.ones(3))
    assert_same(read_bytes(tmp_path, first), {"a.weight": np.ones(2, np.float32)})
    for length in range(1, len(second)):
        with pytest.raises(DataError):
            read_bytes(tmp_path, first + second[:length])


def test_random_bytes_are_never_read(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for _ in range(2000):
        with pytest.raises(DataError):
            read_bytes(tmp_path, generator.bytes(int(generator.integers(300))))


def test_changed_bytes_give_arrays_or_a_data_error(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    errors = 0
    for layout in LAYOUTS:
        whole = layout.net({"conv.weight": np.ones((2, 1, 2, 2)), "conv.bias": np.ones(2)})
        for _ in range(200):
            content = bytearray(whole)
            for place in generator.integers(0, len(whole), 3):
                content[place] = generator.integers(0, 256)
            try:
                read_bytes(tmp_path, bytes(content))
            except DataError:
                errors += 1
    assert errors > 1000


@pytest.mark.parametrize("version", [1, 2])
def test_the_whole_googlenet_comes_back(tmp_path: Path, shared: Path, version: int) -> None:
    with np.load(shared / "weights" / "bvlc_googlenet.npz") as file:
        arrays = {key: file[key] for key in file.files}
    layout = Layout(version, old_sizes=version == 1)
    path = write_caffemodel(tmp_path / "net.caffemodel", arrays, layout)
    got = read_caffemodel(path)
    assert got.keys() == arrays.keys()
    assert_same({key: got[key] for key in arrays}, arrays)
