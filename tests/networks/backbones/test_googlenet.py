from pathlib import Path

import pytest
import torch
from random_networks import noise
from torch import Tensor
from torch.nn import functional

from detector.networks.backbones import make_backbone
from detector.networks.backbones.googlenet import FEATURES, TABLE_1, GoogLeNet, LocalResponseNorm
from detector.networks.region_classifier import RegionClassifier

# Table 1 of arXiv 1409.4842: what each module puts out
OUTPUTS = {"3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512, "4d": 528, "4e": 832, "5a": 832, "5b": 1024}


def test_each_module_has_the_width_of_table_1() -> None:
    assert {name: widths.output for name, widths in TABLE_1.items()} == OUTPUTS


def test_the_paper_network_has_6998552_parameters() -> None:
    network = RegionClassifier(make_backbone("paper"), 1000)
    assert sum(p.numel() for p in network.parameters()) == 6_998_552


@pytest.mark.parametrize(("size", "cells"), [(224, 7), (64, 2), (600, 18), (225, 7), (32, 1)])
def test_the_map_has_the_size_of_caffe_s_ceil_mode(size: int, cells: int) -> None:
    network = GoogLeNet("paper_bn").eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, size, 40)).shape == (1, FEATURES, cells, 1)


def test_the_maps_of_a_224_image_have_the_sizes_of_table_1() -> None:
    network = GoogLeNet("paper").eval()
    sizes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> None:
        network.inception[name].register_forward_hook(
            lambda module, inputs, output: sizes.__setitem__(name, tuple(output.shape[1:]))
        )

    for name in TABLE_1:
        note(name)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 224, 224))
    side = {"3": 28, "4": 14, "5": 7}
    assert sizes == {name: (width, side[name[0]], side[name[0]]) for name, width in OUTPUTS.items()}


def test_normalisation_comes_before_the_second_pool() -> None:
    network = GoogLeNet("paper").eval()
    seen: list[tuple[int, ...]] = []
    assert isinstance(network.norm2, LocalResponseNorm)
    network.norm2.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    with torch.inference_mode():
        network(torch.zeros(1, 3, 224, 224))
    assert seen == [(1, 192, 56, 56)]


def test_the_batch_norm_variant_has_neither_biases_nor_response_norm() -> None:
    network = GoogLeNet("paper_bn")
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 57
    assert all(convolution.bias is None for convolution in convolutions)
    assert not [m for m in network.modules() if isinstance(m, LocalResponseNorm)]


@pytest.mark.parametrize("channels", [3, 64, 192])
def test_response_norm_equals_the_library_s(channels: int) -> None:
    x = 300 * torch.randn(2, channels, 5, 7, generator=torch.Generator().manual_seed(channels))
    wanted = functional.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)
    torch.testing.assert_close(LocalResponseNorm(channels)(x), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float16, 0.003), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("channels", [3, 64])
def test_response_norm_in_half_precision_takes_activations_up_to_5000(
    dtype: torch.dtype, error: float, channels: int
) -> None:
    x = (1500 * noise(2, channels, 5, 7).abs()).clamp(max=5000)
    x[0, :, 0, 0] = 5000
    x = x.to(dtype)
    wanted = functional.local_response_norm(x.float(), 5, alpha=1e-4, beta=0.75, k=1.0)
    found = LocalResponseNorm(channels).to(dtype)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), wanted, rtol=error, atol=0)
    with torch.autocast("cpu", dtype):
        torch.testing.assert_close(LocalResponseNorm(channels)(x).float(), wanted, rtol=error, atol=0)


def photographs(shared: Path) -> tuple[RegionClassifier, Tensor, Tensor]:
    """The BVLC network, 130 centre crops (130, 3, 224, 224) and their labels (130,)."""
    from detector.data.images import read_image
    from detector.networks.warp import prepare_image, warp_regions
    from detector.networks.weight_files.weights import load_model

    network, preprocessing, _ = load_model(shared / "weights" / "bvlc_googlenet.npz")
    folder = shared / "data" / "ilsvrc_cls_mini"
    lines = [line.split() for line in (folder / "val.txt").read_text().splitlines()]
    centre = torch.tensor([[1.0, 1.0, 225.0, 225.0]])
    crops = []
    for name, _ in lines:
        image = torch.from_numpy(read_image(folder / "images" / Path(name).name))
        crops.append(warp_regions(prepare_image(image, preprocessing), centre, 224, 0))
    network = network.to(memory_format=torch.channels_last)  # the faster one
    return network, torch.cat(crops), torch.tensor([int(label) for _, label in lines])


@pytest.mark.shared
def test_the_bvlc_weights_classify_real_photographs(shared: Path) -> None:
    network, crops, labels = photographs(shared)
    with torch.inference_mode():
        best = torch.cat([network(part) for part in crops.split(5)]).topk(5).indices
    assert (best[:, 0] == labels).float().mean() >= 0.77
    assert (best == labels[:, None]).any(1).float().mean() >= 0.92


@pytest.mark.shared
@pytest.mark.parametrize(("dtype", "count"), [(torch.bfloat16, 12), (torch.float16, 2)])
def test_half_precision_says_the_same_of_photographs(shared: Path, dtype: torch.dtype, count: int) -> None:
    network, crops, _ = photographs(shared)
    with torch.inference_mode():
        wanted = network(crops[:count])
        found = network.to(dtype)(crops[:count].to(dtype)).float()
    assert torch.equal(found.argmax(1), wanted.argmax(1))
    assert (found - wanted).abs().max() < 0.3
