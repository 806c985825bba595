from collections.abc import Callable

import numpy as np
import pytest
import torch
from random_networks import settle

from detector.boxes import box_iou
from detector.config import EngineSettings, MultiBoxInference
from detector.errors import DataError
from detector.inference.multibox_proposer import MultiBoxProposer, away_from_edges, window_boxes
from detector.networks.backbones import make_backbone
from detector.networks.multibox import GRID_SLOTS, INPUT_SIZE, MultiBox
from detector.networks.warp import IMAGENET
from detector.records import Image

ENGINE = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4)


def make_network(spread: float = 0.001, slots: int = 20) -> MultiBox:
    torch.manual_seed(0)
    corner = torch.rand(slots, 2) * 0.6
    network = MultiBox(make_backbone("tiny"), "learned", torch.cat([corner, corner + 0.3], 1))
    torch.nn.init.normal_(network.head.slots.weight, std=spread)  # type: ignore[arg-type]
    settle(network, INPUT_SIZE["learned"])
    return network


def make_grid() -> MultiBox:
    torch.manual_seed(0)
    corner = torch.rand(GRID_SLOTS, 2) * 0.6
    return MultiBox(make_backbone("tiny"), "grid", torch.cat([corner, corner + 0.3], 1))


def make_image(seed: int, height: int = 60, width: int = 90) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_proposer(**settings: object) -> MultiBoxProposer:
    return MultiBoxProposer(make_network(), IMAGENET, MultiBoxInference.model_validate(settings), ENGINE)


def test_windows_cover_the_image_and_overlap_by_half() -> None:
    assert window_boxes(60, 90, (1,)).tolist() == [[0, 0, 90, 60]]
    windows = window_boxes(60, 90, (1, 2))
    assert len(windows) == 10
    assert windows[1:4, ::2].tolist() == [[0, 45], [22.5, 67.5], [45, 90]]
    assert (windows[:, 2:] <= [90, 60]).all()


def test_boxes_at_an_edge_inside_the_image_are_not_trusted() -> None:
    proposer = make_proposer(scales=(2,))
    windows = proposer.cut(make_image(0))  # nine of half the sides
    fractions = np.tile([[0.0, 0.2, 0.5, 0.5], [0.2, 0.2, 1.0, 0.5], [0.2, 0.2, 0.5, 0.5]], (9, 1, 1))
    kept = away_from_edges(fractions, windows, 0.05)
    assert kept[:, 0].tolist() == [True, False, False] * 3  # the left column ends with the image
    assert kept[:, 1].tolist() == [False, False, True] * 3
    assert kept[:, 2].all()


def test_one_window_gives_the_network_s_boxes_in_pixels_best_first() -> None:
    network = make_network(spread=1e-4)  # so little that no box is turned inside out
    settings = MultiBoxInference(scales=(1,), nms_iou=1.0)
    proposer = MultiBoxProposer(network, IMAGENET, settings, ENGINE)
    image = make_image(0)
    proposals = next(proposer.propose([proposer.cut(image)], 1000))
    with torch.inference_mode():
        windows = proposer.cut(image)
        crops = torch.from_numpy(windows.pixels)
        boxes, logits = network(_prepared(crops))
    order = np.argsort(-logits[0].sigmoid().numpy(), kind="stable")
    np.testing.assert_allclose(proposals.scores, logits[0].sigmoid().numpy()[order], atol=1e-5)
    wanted = boxes[0].clamp(0, 1).numpy()[order] * np.array([90, 60, 90, 60])
    np.testing.assert_allclose(proposals.boxes, wanted, atol=1e-2)


def _prepared(pixels: torch.Tensor) -> torch.Tensor:
    mean, scale = (torch.tensor(values) for values in (IMAGENET.mean, IMAGENET.scale))
    return ((pixels.float() - mean) / scale).permute(0, 3, 1, 2)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_sharing_a_forward_pass_changes_no_proposal(batch_size: int) -> None:
    settings = MultiBoxInference(scales=(1, 2))
    alone, shared = (
        MultiBoxProposer(make_network(), IMAGENET, settings, ENGINE.model_copy(update={"batch_size": size}))
        for size in (4, batch_size)
    )
    windows = [alone.cut(make_image(seed, 50 + seed, 80)) for seed in range(3)]
    singly = [next(alone.propose([each], 30)) for each in windows]
    together = list(shared.propose(windows, 30))
    for one, two in zip(singly, together, strict=True):
        np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-2)


@pytest.mark.parametrize(("make", "scales"), [(lambda: make_network(1e-4), (1, 2)), (make_grid, (1,))])
@pytest.mark.parametrize("engine", [{"backend": "openvino"}, {"precision": "bf16"}, {"precision": "int8"}])
def test_other_engines_propose_nearly_the_same(
    make: Callable[[], MultiBox], scales: tuple[int, ...], engine: dict[str, str]
) -> None:
    if engine.get("backend") == "openvino":
        pytest.importorskip("openvino")
    settings, image = MultiBoxInference(scales=scales, nms_iou=1.0), make_image(3)
    ours, theirs = (
        MultiBoxProposer(make(), IMAGENET, settings, ENGINE.model_copy(update=update)) for update in ({}, engine)
    )
    one, two = (next(each.propose([each.cut(image)], 20_000)) for each in (ours, theirs))
    assert box_iou(one.boxes, two.boxes).max(1).min() > 0.95
    np.testing.assert_allclose(one.scores[:9], two.scores[:9], atol=0.02)


def test_near_duplicates_are_removed_and_the_budget_is_kept() -> None:
    proposer = make_proposer(scales=(1, 2), nms_iou=0.5)
    found = next(proposer.propose([proposer.cut(make_image(1))], 8))
    assert len(found.boxes) == 8
    overlap = box_iou(found.boxes, found.boxes) - np.eye(8)
    assert overlap.max() <= 0.5
    assert found.boxes.min() >= 0
    assert (found.boxes[:, 2:] <= [90, 60]).all()


def test_no_images_give_no_proposals() -> None:
    assert list(make_proposer().propose([], 10)) == []


def test_weights_too_large_for_the_precision_are_told() -> None:
    network = make_network()
    network.state_dict()["backbone.conv4.norm.weight"].fill_(1e38)
    network.file = "multibox.safetensors"
    proposer = MultiBoxProposer(network, IMAGENET, MultiBoxInference(scales=(1,)), ENGINE)
    with pytest.raises(
        DataError, match=r"boxes of the network must be finite, .* fp32 \(multibox\.safetensors\)$"
    ):
        list(proposer.propose([proposer.cut(make_image(0))], 5))
