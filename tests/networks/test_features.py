import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from bvlc_like import random_network, write_bvlc_like, write_our_own
from random_networks import googlenet_of, noise
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from detector.errors import ConfigError, DataError
from detector.networks.backbones.base import Variant
from detector.networks.features import LAST_MAPS, GoogLeNetFeatures, Renormalise, describe_maps
from detector.networks.preprocessing import BVLC, IMAGENET, TORCHVISION, Preprocessing, prepare_image

# a host like detectron2: BGR, mean subtracted, not divided
BGR_HOST = Preprocessing("BGR", (103.53, 116.28, 123.675), (1.0, 1.0, 1.0))
CHANNELS = [64, 192, 480, 832, 1024]


@pytest.fixture(scope="module")
def bvlc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bvlc_like(tmp_path_factory.mktemp("weights") / "bvlc.npz")


def photograph(height: int = 97, width: int = 129) -> Tensor:
    """Random pixels (H, W, 3) uint8."""
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def assert_near(found: Tensor, wanted: Tensor, tolerance: float = 1e-4) -> None:
    """Nowhere further apart than `tolerance` of the largest value."""
    assert float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())


def test_a_host_s_image_becomes_what_the_weights_want_by_hand() -> None:
    host = Preprocessing("RGB", (10.0, 20.0, 30.0), (2.0, 4.0, 5.0))
    network = Preprocessing("BGR", (1.0, 2.0, 3.0), (1.0, 1.0, 10.0))
    pixel = torch.tensor([100.0, 120.0, 140.0])  # red, green, blue
    seen = (pixel - torch.tensor(host.mean)) / torch.tensor(host.scale)
    found = Renormalise(host, network)(seen[None, :, None, None])
    torch.testing.assert_close(found.flatten(), torch.tensor([139.0, 118.0, 9.7]))


@pytest.mark.parametrize("preprocessing", [BVLC, IMAGENET, TORCHVISION])
def test_nothing_changes_where_host_and_weights_agree(preprocessing: Preprocessing) -> None:
    images = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(Renormalise(preprocessing, preprocessing)(images), images, rtol=0, atol=0)


@pytest.mark.parametrize("host", [IMAGENET, BGR_HOST, TORCHVISION])
def test_the_host_s_images_give_the_maps_of_the_direct_path(bvlc: Path, host: Preprocessing) -> None:
    image = photograph()
    features = GoogLeNetFeatures(weights=bvlc, host=host).eval()
    with torch.inference_mode():
        found = features(prepare_image(image, host))
        wanted = googlenet_of(random_network()).maps(prepare_image(image, BVLC), LAST_MAPS)
    for map_, name in zip(found, LAST_MAPS, strict=True):
        assert_near(map_, wanted[name])


def test_the_preprocessing_of_our_own_files_is_kept(tmp_path: Path) -> None:
    path = write_our_own(tmp_path / "w.safetensors", "paper_bn", TORCHVISION)
    image = photograph(64, 64)
    features = GoogLeNetFeatures("paper_bn", path, (4,), host=IMAGENET).eval()
    with torch.inference_mode():
        (found,) = features(prepare_image(image, IMAGENET))
        assert_near(found, random_network("paper_bn", 3).backbone(prepare_image(image, TORCHVISION)))


def test_without_a_host_images_come_as_the_weights_want_them(bvlc: Path) -> None:
    images = prepare_image(photograph(40, 40), BVLC)
    features = GoogLeNetFeatures(weights=bvlc, out_indices=(1,), host=None).eval()
    with torch.inference_mode():
        assert_near(features(images)[0], googlenet_of(random_network()).maps(images, ("conv2",))["conv2"])


def test_without_weights_the_host_s_images_are_taken_as_they_are() -> None:
    images = torch.randn(1, 3, 40, 40)
    features = GoogLeNetFeatures(host=BGR_HOST, out_indices=(0,)).eval()
    with torch.inference_mode():
        wanted = features.backbone.maps(images, ("conv1",))["conv1"]
        torch.testing.assert_close(features(images)[0], wanted, rtol=0, atol=0)


def test_a_state_dict_keeps_the_preprocessing(bvlc: Path, tmp_path: Path) -> None:
    images = prepare_image(photograph(64, 64), IMAGENET)
    features = GoogLeNetFeatures(weights=bvlc).eval()
    torch.save(features.state_dict(), tmp_path / "state.pth")
    again = GoogLeNetFeatures(host=BGR_HOST).eval()  # made without the weights, for another host
    again.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    with torch.inference_mode():
        for found, wanted in zip(again(images), features(images), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (97, 201), (31, 31)])
def test_the_maps_are_what_the_description_says(height: int, width: int) -> None:
    features = GoogLeNetFeatures("paper_bn").eval()
    info = features.feature_info
    assert info.channels() == CHANNELS
    assert info.reduction() == [2, 4, 8, 16, 32]
    assert info.out_indices == (0, 1, 2, 3, 4)
    with torch.inference_mode():
        maps = features(torch.zeros(1, 3, height, width))
    for map_, channels, stride in zip(maps, info.channels(), info.reduction(), strict=True):
        assert map_.shape[1] == channels
        assert abs(map_.shape[2] - height / stride) <= 1
        assert abs(map_.shape[3] - width / stride) <= 1


def test_each_map_is_what_its_module_puts_out() -> None:
    features = GoogLeNetFeatures("paper").eval()
    seen: list[Tensor] = []
    for name in features.feature_info.module_name():
        features.get_submodule(name).register_forward_hook(lambda module, inputs, output: seen.append(output))
    maps = features(torch.randn(1, 3, 40, 40))
    assert all(found is map_ for found, map_ in zip(seen, maps, strict=True))


def test_maps_come_in_the_order_asked_for_and_negative_indices_count_from_the_end() -> None:
    features = GoogLeNetFeatures("paper_bn", out_indices=(-2, 1, 1)).eval()
    assert features.feature_info.out_indices == (3, 1, 1)
    assert [map_.shape[1] for map_ in features(torch.zeros(1, 3, 40, 40))] == features.feature_info.channels()


@pytest.mark.parametrize("last", range(5))
def test_what_lies_behind_the_last_map_is_left_out(last: int) -> None:
    features = GoogLeNetFeatures("paper", out_indices=(last,))
    features(torch.randn(1, 3, 40, 40))[0].sum().backward()
    assert all(parameter.grad is not None for parameter in features.parameters())


def test_the_description_answers_as_timm_s_does() -> None:
    info = describe_maps((2, 4))
    assert (len(info), info[1]["num_chs"]) == (5, 192)
    assert (info.channels(), info.channels(0), info.channels([0, 1])) == ([480, 1024], 64, [64, 192])
    assert info.module_name() == ["backbone.inception.3b", "backbone.inception.5b"]
    assert info.get_dicts(["reduction"]) == [{"reduction": 8}, {"reduction": 32}]
    assert info.get_dicts(idx=3) == info[3]


def test_frozen_strides_stay_frozen_in_training() -> None:
    features = GoogLeNetFeatures("paper_bn", frozen_stages=2).train()
    before = {key: value.clone() for key, value in features.state_dict().items()}
    sum(map_.sum() for map_ in features(torch.randn(2, 3, 64, 64))).backward()
    trained = {key.split(".")[1] for key, p in features.named_parameters() if p.grad is not None}
    changed = {key.split(".")[1] for key, value in features.state_dict().items() if (value != before[key]).any()}
    assert trained == changed == {"inception"}


@pytest.mark.parametrize("convert", [nn.Identity(), nn.SyncBatchNorm.convert_sync_batchnorm])
def test_batch_statistics_stay_in_training_where_it_is_wished(convert: Callable[[nn.Module], nn.Module]) -> None:
    features = convert(GoogLeNetFeatures("paper_bn", norm_eval=True))
    before = {key: value.clone() for key, value in features.named_buffers()}
    features.train()(noise(2, 3, 64, 64))
    assert features.training
    assert all(parameter.requires_grad for parameter in features.parameters())
    torch.testing.assert_close(dict(features.named_buffers()), before, rtol=0, atol=0)


def test_checkpointing_gives_the_same_gradients() -> None:
    features = GoogLeNetFeatures("paper", out_indices=(2,)).train()
    images = torch.randn(1, 3, 40, 40)
    gradients = []
    for enable in (False, True):
        features.zero_grad()
        features.set_grad_checkpointing(enable)
        features(images)[0].sum().backward()
        gradients.append([p.grad for p in features.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """The process group of `torchrun`, of this process alone."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("variant", ["paper", "paper_bn"])
def test_checkpointing_works_where_processes_share_gradients(variant: Variant, group: None) -> None:
    plain = GoogLeNetFeatures(variant, out_indices=(2, 4), frozen_stages=1).train()
    shared = copy.deepcopy(plain)
    shared.set_grad_checkpointing()
    for network in (plain, DistributedDataParallel(shared)):
        for seed in range(2):
            sum(found.square().mean() for found in network(noise(2, 3, 64, 64, seed=seed))).backward()
    wanted = dict(plain.named_parameters())
    for name, parameter in shared.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, msg=name)
    torch.testing.assert_close(dict(shared.named_buffers()), dict(plain.named_buffers()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out_indices": (0, 5)}, r"out_indices must be in -5\.\.4, got 5"),
        ({"out_indices": ()}, r"out_indices must be in -5\.\.4, got none"),
        ({"out_indices": 3}, r"out_indices must be a list of indices, got 3"),
        ({"out_indices": (1, True)}, r"out_indices must be in -5\.\.4, got True"),
        ({"out_indices": (1, 2.0)}, r"out_indices must be in -5\.\.4, got 2\.0"),
        ({"out_indices": "12"}, r"out_indices must be in -5\.\.4, got '1'"),
        ({"frozen_stages": 6}, r"frozen_stages must be in 0\.\.5, got 6"),
        ({"frozen_stages": -1}, r"frozen_stages must be in 0\.\.5, got -1"),
        ({"frozen_stages": "two"}, r"frozen_stages must be in 0\.\.5, got 'two'"),
        ({"variant": "v4"}, r"variant must be one of paper, paper_bn, torchvision, got 'v4'"),
        ({"variant": ["paper"]}, r"variant must be one of paper, paper_bn, torchvision, got \['paper'\]"),
    ],
)
def test_an_argument_out_of_range_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GoogLeNetFeatures(**arguments)  # type: ignore[arg-type]


def test_weights_of_another_variant_are_named(bvlc: Path) -> None:
    with pytest.raises(DataError, match=r"of the variant paper_bn, got those of paper \(.*bvlc\.npz\)"):
        GoogLeNetFeatures("paper_bn", bvlc)
