from pathlib import Path

import pytest
import torch
from random_networks import randomise

from detector.errors import DataError
from detector.networks.backbones import make_backbone
from detector.networks.heads import (
    BoxHead,
    Cells,
    FeaturesAndMoves,
    SvmHead,
    load_boxes,
    load_svm,
    pool_cells,
    save_head,
)
from detector.networks.region_classifier import RegionClassifier
from detector.networks.weight_files.safetensors_files import write_tensors

CELLS = 1024 * 4


def make_network() -> RegionClassifier:
    network = RegionClassifier(make_backbone("paper_bn"), 3)
    randomise(network)
    return network.eval()


def box_head() -> BoxHead:
    generator = torch.Generator().manual_seed(1)
    return BoxHead(torch.randn(2, 4, CELLS, generator=generator) / 100, torch.randn(2, 4, generator=generator), 2)


def test_cells_are_averages_of_quarters_of_the_map_channel_after_channel() -> None:
    last_map = torch.arange(2 * 4 * 4, dtype=torch.float32).view(1, 2, 4, 4)
    wanted = [[2.5, 4.5, 10.5, 12.5, 18.5, 20.5, 26.5, 28.5]]
    assert pool_cells(last_map, 2, 2).tolist() == wanted
    assert pool_cells(last_map, 2, 1).tolist() == [[7.5, 23.5]]


def test_a_box_head_is_one_linear_map_a_class_and_offset() -> None:
    head, last_map = box_head(), torch.rand(3, 1024, 2, 2)
    moves = head(last_map)
    assert (head.grid, tuple(moves.shape)) == (2, (3, 2, 4))
    cells = pool_cells(last_map, 1024, 2)
    wanted = cells[1] @ head.weight[1, 3] + head.bias[1, 3]
    torch.testing.assert_close(moves[1, 1, 3], wanted, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_one_pass_gives_the_features_of_the_classifier_and_the_moves_of_the_cells() -> None:
    network, head, crops = make_network(), box_head(), torch.rand(2, 3, 64, 64)
    found = FeaturesAndMoves(network, head)(crops)
    torch.testing.assert_close(found["features"], network.features(crops))
    cells = Cells(network, 2)(crops)["cells"]
    wanted = torch.einsum("nf,cof->nco", cells, head.weight) + head.bias
    torch.testing.assert_close(found["moves"], wanted, rtol=1e-4, atol=1e-4)
    assert FeaturesAndMoves(network, None)(crops).keys() == {"features"}


def test_heads_come_back_from_their_files(tmp_path: Path) -> None:
    svm = SvmHead(torch.rand(3, 1024), torch.rand(3))
    save_head(tmp_path / "svm.safetensors", svm, classes=["a", "b", "c"])
    save_head(tmp_path / "boxes.safetensors", box_head())
    features, last_map = torch.rand(5, 1024), torch.rand(1, 1024, 7, 7)
    torch.testing.assert_close(load_svm(tmp_path / "svm.safetensors")(features), svm(features))
    torch.testing.assert_close(load_boxes(tmp_path / "boxes.safetensors")(last_map), box_head()(last_map))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    save_head(tmp_path / "boxes.safetensors", box_head())
    with pytest.raises(DataError, match=r"must be a SvmHead's, got another file \(.*boxes.safetensors\)"):
        load_svm(tmp_path / "boxes.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"must be a readable safetensors file, got .*broken"):
        load_boxes(tmp_path / "broken.safetensors")


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        ((), (3,), r"shapes \(C, F\) and \(C,\), got \(\) and \(3,\) \(.*svm"),
        ((3,), (3,), r"shapes \(C, F\) and \(C,\), got \(3,\) and \(3,\) \(.*svm"),
        ((3, 1024), (2,), r"shapes \(C, F\) and \(C,\), got \(3, 1024\) and \(2,\) \(.*svm"),
        ((3, 0), (3,), r"got \(3, 0\) and \(3,\) \(.*svm"),
    ],
)
def test_svms_of_other_shapes_are_named(
    tmp_path: Path, weight: tuple[int, ...], bias: tuple[int, ...], message: str
) -> None:
    save_head(tmp_path / "svm.safetensors", SvmHead(torch.ones(weight), torch.ones(bias)))
    with pytest.raises(DataError, match=message):
        load_svm(tmp_path / "svm.safetensors")


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        ((2, 4), (2, 4), r"shapes \(C, 4, F\) and \(C, 4\), got \(2, 4\)"),
        ((2, 3, 1024), (2, 3), r"got \(2, 3, 1024\) and \(2, 3\)"),
        ((2, 4, 1024), (3, 4), r"got \(2, 4, 1024\) and \(3, 4\)"),
        ((2, 4, 2048), (2, 4), r"that states no grid must have F = 1024 n\^2, got F = 2048"),
        ((2, 4, 0), (2, 4), r"grid of a BoxHead must be n for F = m n\^2, got 0 for F = 0"),
    ],
)
def test_box_regressors_of_other_shapes_are_named(
    tmp_path: Path, weight: tuple[int, ...], bias: tuple[int, ...], message: str
) -> None:
    path = tmp_path / "boxes.safetensors"
    write_tensors(path, {"weight": torch.ones(weight), "bias": torch.ones(bias)}, {"head": "BoxHead"})
    with pytest.raises(DataError, match=message + r".*boxes\.safetensors"):
        load_boxes(path)


def test_box_regressors_of_old_files_have_the_grid_that_fits_googlenet(tmp_path: Path) -> None:
    path = tmp_path / "boxes.safetensors"
    state = {"weight": torch.ones(2, 4, 9 * 1024), "bias": torch.ones(2, 4)}
    write_tensors(path, state, {"head": "BoxHead"})
    assert (load_boxes(path).grid, load_boxes(path).channels) == (3, 1024)


@pytest.mark.parametrize("grid", [0, -1, 3, 2.0, True, "2", None, [2], 10**30])
def test_a_grid_that_does_not_fit_is_named(tmp_path: Path, grid: object) -> None:
    path = tmp_path / "boxes.safetensors"
    state = {"weight": torch.ones(2, 4, 200), "bias": torch.ones(2, 4)}
    write_tensors(path, state, {"head": "BoxHead", "grid": 5})
    assert (load_boxes(path).grid, load_boxes(path).channels) == (5, 8)
    write_tensors(path, state, {"head": "BoxHead", "grid": grid})
    with pytest.raises(DataError, match=r"grid of a BoxHead must be n for F = m n\^2, got .* \(.*boxes\.safe"):
        load_boxes(path)


def test_heads_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    head = SvmHead(torch.full((1, 1024), float("nan")), torch.zeros(1))
    with pytest.raises(
        DataError, match=r"weights of weight must be finite to be saved, got NaN .*svm\.safetensors"
    ):
        save_head(tmp_path / "svm.safetensors", head)
    assert not list(tmp_path.iterdir())
