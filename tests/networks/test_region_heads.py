from pathlib import Path

import pytest
import torch
from random_networks import randomise

from detector.errors import DataError
from detector.networks.region_classifier import RegionClassifier
from detector.networks.region_heads import (
    BoxHead,
    Cells,
    FeaturesAndMoves,
    SvmHead,
    load_boxes,
    load_svm,
    pool_cells,
    save_head,
)

CELLS = 1024 * 4


def make_network() -> RegionClassifier:
    network = RegionClassifier("paper_bn", 3)
    randomise(network)
    return network.eval()


def box_head() -> BoxHead:
    generator = torch.Generator().manual_seed(1)
    return BoxHead(torch.randn(2, 4, CELLS, generator=generator) / 100, torch.randn(2, 4, generator=generator))


def test_cells_are_averages_of_quarters_of_the_map_channel_after_channel() -> None:
    last_map = torch.arange(2 * 4 * 4, dtype=torch.float32).view(1, 2, 4, 4)
    wanted = [[2.5, 4.5, 10.5, 12.5, 18.5, 20.5, 26.5, 28.5]]
    assert pool_cells(last_map, 2).tolist() == wanted
    assert pool_cells(last_map, 1).tolist() == [[7.5, 23.5]]


def test_a_box_head_is_one_linear_map_a_class_and_offset() -> None:
    head, last_map = box_head(), torch.rand(3, 1024, 2, 2)
    moves = head(last_map)
    assert (head.grid, tuple(moves.shape)) == (2, (3, 2, 4))
    cells = pool_cells(last_map, 2)
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
