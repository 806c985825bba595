"""Engines on a GPU that is not there: batch after batch is begun without a wait, and few are on their way."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from fake_gpu import FakeGpu, fake_gpu

from detector.config import EngineSettings, MultiBoxInference, RegionSettings
from detector.inference.classify import ImageClassifier
from detector.inference.cuda_graph import GraphForward
from detector.inference.engine import CropEngine, RegionEngine, make_engine
from detector.inference.multibox_proposer import MultiBoxProposer
from detector.inference.shared_engine import TOGETHER, SharedEngine
from detector.networks.backbones import make_backbone
from detector.networks.heads import BoxHead, Probabilities, SvmHead
from detector.networks.member import Ensemble, Member
from detector.networks.multibox import MultiBox
from detector.networks.region_classifier import RegionClassifier
from detector.networks.shared_map import run_trunk
from detector.networks.transfers import AHEAD
from detector.networks.warp import BVLC
from detector.records import Float32, Image

CLASSES, BATCH = 3, 16
WARP = RegionSettings(crop_size=32, padding=3)
WIDE = RegionSettings(crop_size=32, padding=3, wide_padding=9, fill="image")
SHARED = RegionSettings(mode="shared", crop_size=64, padding=4, shared_side=(64, 96), shared_longest=200)
GPU = EngineSettings(device="cuda", backend="torch", precision="bf16", batch_size=BATCH)
IMAGES = 8
MOST_LAUNCHES = 120  # of a batch, its image and its crops; the network's are 15 to 40 of them


def image_of(regions: int, seed: int = 0) -> tuple[Image, Float32]:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 40, (regions, 2))
    boxes = np.concatenate([corner, corner + random.uniform(4, 40, (regions, 2))], 1)
    return random.integers(0, 256, (70, 90, 3), dtype=np.uint8), boxes.astype(np.float32)


def network_of(region: RegionSettings) -> RegionClassifier:
    return RegionClassifier(make_backbone("tiny"), CLASSES + 1, crops=len(region.paddings))


def heads(network: RegionClassifier) -> tuple[SvmHead, BoxHead]:
    channels = network.backbone.facts.channels
    svm = SvmHead(torch.zeros(CLASSES, network.width), torch.zeros(CLASSES))
    return svm, BoxHead(torch.zeros(CLASSES, 4, channels * 4), torch.zeros(CLASSES, 4), 2)


def softmax(region: RegionSettings) -> CropEngine | SharedEngine:
    return make_engine(Probabilities(network_of(region)), BVLC, region, GPU)


def svms_and_boxes(region: RegionSettings) -> CropEngine | SharedEngine:
    """Of a mirrored member and one that is not."""
    network = network_of(region)
    members = [Member(network, *heads(network), mirrored=mirrored) for mirrored in (False, True)]
    return make_engine(Ensemble(members), BVLC, region, GPU, mirrored=region.mode == "shared")


MAKERS = (softmax, svms_and_boxes)


@pytest.mark.parametrize("region", [WARP, WIDE, SHARED], ids=["crops", "two crops", "shared maps"])
@pytest.mark.parametrize("make", MAKERS)
def test_no_batch_waits_and_its_launches_do_not_grow_with_the_regions(
    make: Callable[[RegionSettings], CropEngine | SharedEngine], region: RegionSettings
) -> None:
    with fake_gpu() as gpu:
        engine = make(region)
        list(engine.run([image_of(2 * BATCH)]))  # what is made once is there now
        totals = []
        for regions in (BATCH // 2, BATCH, 3 * BATCH):
            with gpu.counted() as launches:
                ((boxes, answers),) = engine.run([image_of(regions)])
                totals.append(launches.total())
            assert {len(answer) for answer in answers.values()} == {len(boxes)} == {regions}
    few, full, three = totals
    assert few == full <= MOST_LAUNCHES
    assert three <= 3 * full


@pytest.mark.parametrize("region", [WARP, SHARED], ids=["crops", "shared maps"])
def test_batches_are_begun_ahead_of_the_answers_and_no_more_than_so_many(region: RegionSettings) -> None:
    with fake_gpu() as gpu:
        engine = softmax(region)
        gpu.notes.clear()
        given = 0
        for number, _ in enumerate(engine.run(noted(gpu, [image_of(BATCH, seed) for seed in range(IMAGES)]))):
            given += 1
            assert number == given - 1
            gpu.notes.append("result")
    begun, waited, ahead, most = 0, 0, [], 0
    for note in gpu.notes:
        begun += note == "batch"
        waited += note == "wait"
        if note == "wait":
            ahead.append(begun - waited)
        most = max(most, begun - waited)
    assert begun == waited == given == IMAGES
    assert ahead == [AHEAD] * (IMAGES - AHEAD) + list(range(AHEAD))[::-1]
    assert most == AHEAD + 1
    assert gpu.notes[-AHEAD:] != ["wait"] * AHEAD
    asked = [place for place, note in enumerate(gpu.notes) if note == "asked"]
    handed = [place for place, note in enumerate(gpu.notes) if note == "result"]
    held = TOGETHER if region.mode == "shared" else 1
    for number, place in enumerate(handed):  # images are taken as far ahead as batches, and not further
        assert sum(each < place for each in asked) <= number + 1 + AHEAD + held


def test_a_pass_as_a_graph_is_one_launch_and_its_answers_are_its_own() -> None:
    """Answers that are still on their way must not be overwritten by the next pass."""
    with fake_gpu() as gpu:
        network, regions = network_of(WARP), [image_of(4 * BATCH)]
        totals = []
        for graph in (False, True):
            engine = make_engine(Probabilities(network), BVLC, WARP, GPU.model_copy(update={"graph": graph}))
            list(engine.run(regions))
            with gpu.counted() as launches:
                list(engine.run(regions))
                totals.append(launches.total())
        assert launches["graph"] == 4
        assert launches["aten.convolution.default"] == 0
        forward = engine.runner.forward
        batch = torch.zeros(BATCH, 3, 32, 32, device="cuda")
        with torch.inference_mode():
            one, other = [forward(batch)["probs"] for _ in range(2)]
        assert one.untyped_storage()._cdata != other.untyped_storage()._cdata
    assert totals[1] < totals[0]


def test_a_graph_is_captured_on_the_device_of_its_batches_be_it_the_current_one_or_not() -> None:
    with fake_gpu() as gpu:
        forward = GraphForward(lambda batch: {"more": batch + 1})
        for _ in range(2):
            found = forward(torch.zeros(2, device="cuda:1"))["more"]
        assert found.device == torch.device("cuda:1")
        assert gpu.launches["graph"] == 2


def noted(gpu: FakeGpu, images: list[tuple[Image, Float32]]) -> Iterator[tuple[Image, Float32]]:
    for image in images:
        gpu.notes.append("asked")
        yield image


@pytest.mark.parametrize("regions", [[5, 0, 40, 1], [0, 0], [16, 16, 16, 16, 16]])
@pytest.mark.parametrize("region", [WARP, SHARED], ids=["crops", "shared maps"])
def test_every_image_has_its_answers_in_order(regions: list[int], region: RegionSettings) -> None:
    with fake_gpu():
        found = list(RegionEngine(network_of(region), BVLC, region, GPU).score(map(image_of, regions)))
    assert [each.probs.shape for each in found] == [(count, CLASSES + 1) for count in regions]


def test_whole_images_are_classified_without_a_wait() -> None:
    with fake_gpu() as gpu:
        classifier = ImageClassifier(network_of(WARP), BVLC, 32, GPU)
        list(classifier.classify([image_of(0)[0]], (1, 10)))
        with gpu.counted():
            (found,) = classifier.classify([image_of(0)[0]], (1, 10))
    assert found.shape == (2, CLASSES + 1)


def test_images_of_one_size_go_through_the_trunk_together() -> None:
    """With an image a pass there are as many passes as images and scales."""
    per_group = []
    for sizes in ([(70, 90)] * 4, [(70, 90), (71, 90), (72, 90), (73, 90)]):
        with fake_gpu() as gpu:
            engine = softmax(SHARED)
            list(engine.run([image_of(2)]))
            images = [(np.zeros((*size, 3), np.uint8), image_of(2)[1]) for size in sizes]
            with gpu.counted() as launches:
                list(engine.run(images))
                per_group.append(launches["aten.convolution.default"])
    assert per_group[0] < per_group[1]


@torch.inference_mode()
@pytest.mark.parametrize("variant", ["paper", "paper_bn"])
def test_maps_of_images_together_are_those_of_each(variant: str) -> None:
    backbone = make_backbone(variant).eval()
    copies = [torch.randn(1, 3, *size) for size in ((64, 80), (80, 64), (64, 80), (64, 80))]
    found, wanted = (run_trunk(backbone, copies, together) for together in (True, False))
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


def test_windows_of_images_are_begun_ahead_of_their_boxes() -> None:
    with fake_gpu() as gpu:
        network = MultiBox(make_backbone("tiny"), "learned", torch.tensor([[0.1, 0.1, 0.9, 0.9]] * 20))
        proposer = MultiBoxProposer(network, BVLC, MultiBoxInference(scales=(1, 2)), GPU)
        images = [proposer.cut(image_of(1, seed)[0]) for seed in range(IMAGES)]
        list(proposer.propose(images[:1], 5))
        gpu.notes.clear()
        assert len(list(proposer.propose(images, 5))) == IMAGES
    batches = -(-10 * IMAGES // BATCH)
    assert gpu.notes.count("batch") == gpu.notes.count("wait") == batches
    assert gpu.notes[: gpu.notes.index("wait")].count("batch") == AHEAD + 1
