import numpy as np
import pytest
import torch
from random_networks import randomise

from detector.config import EngineSettings, RegionSettings
from detector.errors import DataError
from detector.inference.engine import RegionEngine
from detector.inference.ensemble import Averages, EnsembleEngine, Model, average
from detector.inference.score import refine
from detector.networks.backbones import make_backbone
from detector.networks.heads import BoxHead, SvmHead
from detector.networks.member import Member
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import BVLC, IMAGENET, Preprocessing
from detector.records import Float32, Image

SETTINGS = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4)
REGION = RegionSettings(crop_size=32, padding=3)
WIDE = RegionSettings(crop_size=32, padding=8)


def network(seed: int) -> RegionClassifier:
    made = RegionClassifier(make_backbone("paper_bn"), 3)
    randomise(made, seed)
    return made


def box_head(seed: int) -> BoxHead:
    generator = torch.Generator().manual_seed(seed)
    return BoxHead(torch.randn(2, 4, 1024, generator=generator) / 100, torch.randn(2, 4, generator=generator), 1)


def images() -> list[tuple[Image, Float32]]:
    random = np.random.default_rng(0)
    pairs = []
    for regions in (5, 0, 3):
        corner = random.uniform(0, 20, (regions, 2))
        boxes = np.concatenate([corner, corner + random.uniform(5, 20, (regions, 2))], 1).astype(np.float32)
        pairs.append((random.integers(0, 256, (40, 60, 3), dtype=np.uint8), boxes))
    return pairs


def alone(seed: int, region: RegionSettings = REGION, preprocessing: Preprocessing = IMAGENET) -> list[Float32]:
    """The probabilities of one network, background left out, by the engine that knows no ensembles."""
    engine = RegionEngine(network(seed), preprocessing, region, SETTINGS)
    return [found.probs[:, 1:] for found in engine.score(images())]


def averages(models: list[Model]) -> list[Averages]:
    engine = EnsembleEngine(models, SETTINGS)
    return [average(views, engine.weights) for views in engine.views(images())]


def test_members_with_crops_of_their_own_are_averaged_by_weight() -> None:
    models = [
        Model(Member(network(1)), IMAGENET, REGION, weight=2.0),
        Model(Member(network(2)), IMAGENET, WIDE),
        Model(Member(network(3)), BVLC, REGION),
        Model(Member(network(4)), IMAGENET, REGION, weight=0.5),
    ]
    found = averages(models)
    parts = zip(alone(1), alone(2, WIDE), alone(3, preprocessing=BVLC), alone(4), strict=True)
    for mean, (one, two, three, four) in zip(found, parts, strict=True):
        np.testing.assert_allclose(mean.scores, (2 * one + two + three + 0.5 * four) / 4.5, atol=1e-5)
        assert mean.moves is None


@pytest.mark.parametrize("times", [2, 3, 7])
def test_a_model_listed_several_times_is_that_model(times: int) -> None:
    model = Model(Member(network(1), boxes=box_head(1)), IMAGENET, REGION)
    once = averages([model])
    often = averages([model] * times)
    for one, many in zip(once, often, strict=True):
        np.testing.assert_array_equal(one.scores, many.scores)
        assert one.moves is not None
        assert many.moves is not None
        np.testing.assert_array_equal(one.moves, many.moves)


def test_moves_are_averaged_over_the_members_that_have_them() -> None:
    with_boxes = [Model(Member(network(k), boxes=box_head(k)), IMAGENET, REGION, weight=k) for k in (1, 3)]
    without = Model(Member(network(2)), IMAGENET, REGION)
    found = averages([with_boxes[0], without, with_boxes[1]])
    parts = [averages([model]) for model in with_boxes]
    for mean, one, three in zip(found, *parts, strict=True):
        assert mean.moves is not None
        assert mean.moves.shape == (len(mean.boxes), 2, 4)
        if len(mean.boxes):
            np.testing.assert_allclose(mean.moves, (one.moves + 3 * three.moves) / 4, rtol=1e-4, atol=1e-5)


def test_a_mirrored_member_answers_as_the_plain_one_on_mirrored_crops() -> None:
    crops = torch.rand(3, 3, 32, 32)
    plain, mirrored = (Member(network(1), boxes=box_head(1), mirrored=flag).eval() for flag in (False, True))
    with torch.inference_mode():
        wanted, found = plain(crops.flip(3)), mirrored(crops)
    torch.testing.assert_close(found["scores"], wanted["scores"])
    torch.testing.assert_close(found["moves"][..., 0], -wanted["moves"][..., 0])
    torch.testing.assert_close(found["moves"][..., 1:], wanted["moves"][..., 1:])


def test_svms_score_in_place_of_the_softmax() -> None:
    member = Member(network(1), SvmHead(torch.randn(2, 1024), torch.randn(2))).eval()
    crops = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert member.svm is not None
        wanted = member.svm(member.network.features(crops))
        torch.testing.assert_close(member(crops)["scores"], wanted)


def test_svms_and_softmaxes_are_not_mixed() -> None:
    svm = SvmHead(torch.zeros(2, 1024), torch.zeros(2))
    models = [Model(Member(network(k), head), IMAGENET, REGION) for k, head in ((1, svm), (2, None))]
    with pytest.raises(DataError, match="all score by SVMs or all by softmax, got some of each"):
        EnsembleEngine(models, SETTINGS)


def test_scores_come_at_the_boxes_that_the_averages_move_the_regions_to() -> None:
    models = [Model(Member(network(k), boxes=box_head(k)), IMAGENET, REGION) for k in (1, 2)]
    for found, wanted in zip(EnsembleEngine(models, SETTINGS).score(images()), averages(models), strict=True):
        np.testing.assert_array_equal(found.scores, wanted.scores)
        assert wanted.moves is not None
        moved = refine(wanted.boxes, wanted.moves, 40, 60)
        np.testing.assert_array_equal(found.boxes, moved)
