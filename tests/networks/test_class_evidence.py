"""Class activation maps: the paper's where they are the paper's, and sums that must hold anywhere."""

import pytest
import torch
from random_networks import noise, randomise
from torch import Tensor, nn

from detector.networks.backbones import make_backbone
from detector.networks.backbones.tiny import Tiny
from detector.networks.class_evidence import LastMaps, class_evidence, class_scores_of
from detector.networks.heads import SvmHead
from detector.networks.member import Member
from detector.networks.region_classifier import RegionClassifier

CLASSES = 3
LABELS = torch.tensor([[1, 2, 3], [3, 1, 1]])


def network_of(variant: str = "tiny", crops: int = 1) -> RegionClassifier:
    network = RegionClassifier(make_backbone(variant), CLASSES + 1, crops=crops)
    randomise(network)
    return network.eval().requires_grad_(False)


def maps_of(network: RegionClassifier, side: int = 64) -> Tensor:
    return LastMaps(network)(noise(2, 3 * network.crops, side, side))["maps"]


def test_the_map_of_a_class_is_its_weights_times_the_last_map() -> None:
    network = network_of()
    maps = maps_of(network)
    found = class_evidence(Member(network), maps, LABELS)
    assert found.shape == (2, 3, 1, *maps.shape[2:])
    for region in range(2):
        for place, label in enumerate(LABELS[region].tolist()):
            wanted = torch.einsum("c,chw->hw", network.classifier.weight[label], maps[region])
            torch.testing.assert_close(found[region, place, 0], wanted)


@pytest.mark.parametrize("crops", [1, 2])
@pytest.mark.parametrize("svm", [False, True])
def test_the_means_of_the_maps_are_the_score_without_its_bias(crops: int, svm: bool) -> None:
    network = network_of(crops=crops)
    head = SvmHead(noise(CLASSES, network.width, seed=1), noise(CLASSES, seed=2)) if svm else None
    member = Member(network, head)
    maps = maps_of(network)
    bias = head.bias if head else network.classifier.bias[1:]
    wanted = (class_scores_of(member, maps) - bias).gather(1, LABELS - 1)
    found = class_evidence(member, maps, LABELS).mean((3, 4)).sum(2)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_classifier_that_is_not_linear_has_maps_by_its_gradient() -> None:
    class JoinedRows(nn.Module):
        """Classes of three linear rows each, joined by log-sum-exp."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.rows = nn.Linear(width, 3 * (CLASSES + 1))
            self.weight = self.rows.weight  # whose type is asked for

        def forward(self, features: Tensor) -> Tensor:
            return self.rows(features).unflatten(1, (-1, 3)).logsumexp(2)

    network = network_of()
    joined = JoinedRows(network.width)
    network.classifier = joined  # type: ignore[assignment]
    maps = maps_of(network)
    rows = joined.rows(network.pool(maps)).unflatten(1, (-1, 3)).softmax(2)[:, 1]
    weights = torch.einsum("nr,rc->nc", rows, joined.rows.weight.unflatten(0, (-1, 3))[1])
    wanted = torch.einsum("nc,nchw->nhw", weights, maps)
    found = class_evidence(Member(network), maps, torch.tensor([[1], [1]]))
    torch.testing.assert_close(found[:, 0, 0], wanted.detach())


class FlatFeatures(Tiny):
    """A backbone whose features are those of a layer on all cells of its last map."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(self.facts.channels * 4, self.facts.width)

    def to_features(self, last_map: Tensor) -> Tensor:
        return self.dense(last_map.flatten(1)).relu()


def test_features_that_are_no_means_have_grad_cam() -> None:
    network = RegionClassifier(FlatFeatures(), CLASSES + 1)
    randomise(network)
    network.eval().requires_grad_(False)
    maps = maps_of(network)
    found = class_evidence(Member(network), maps, LABELS)
    seen = maps.clone().requires_grad_()
    network.classify(network.pool(seen))[0, 2].backward()
    assert seen.grad is not None
    wanted = (seen.grad[0].sum((1, 2), keepdim=True) * maps[0]).sum(0)
    torch.testing.assert_close(found[0, 1, 0], wanted)


def test_it_works_where_inference_is_declared() -> None:
    network = network_of()
    with torch.inference_mode():
        maps = maps_of(network)
        found = class_evidence(Member(network), maps, LABELS)
    torch.testing.assert_close(found, class_evidence(Member(network), maps_of(network), LABELS))
