"""The backbone as compilers take it: TorchScript, graphs of torch.fx, and torch.ao's quantisation of these."""

import copy
import io
import warnings
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from random_networks import noise, randomise
from scripting import script
from torch import Tensor, fx
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from detector.networks.backbones.base import Variant, batch_norms
from detector.networks.backbones.googlenet import DESIGNS, local_response_norm
from detector.networks.features import GoogLeNetFeatures, Renormalise, renormalise
from detector.networks.preprocessing import BVLC, IMAGENET

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # of TorchScript
VARIANTS: list[Variant] = list(DESIGNS)
CONVOLUTIONS = 57


def make(variant: Variant, out_indices: Sequence[int] = (0, 1, 2, 3, 4), frozen: int = 0) -> GoogLeNetFeatures:
    network = GoogLeNetFeatures(variant, out_indices=out_indices, frozen_stages=frozen).eval()
    randomise(network)
    network.renormalise = Renormalise(IMAGENET, BVLC)
    network.renormalise.scale /= 100  # activations of the usual size, but every number counts
    network.renormalise.shift /= 100
    return network


def assert_equal(found: list[Tensor], wanted: list[Tensor]) -> None:
    for each, same in zip(found, wanted, strict=True):
        torch.testing.assert_close(each, same, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("variant", "out_indices", "frozen"),
    [
        ("paper", (0, 1, 2, 3, 4), 0),
        ("paper_bn", (3, 1, 1), 2),
        ("torchvision", (0, 1, 2, 3, 4), 5),
        ("paper", (0,), 5),
    ],
)
def test_torchscript_computes_the_same_maps(variant: Variant, out_indices: tuple[int, ...], frozen: int) -> None:
    network = make(variant, out_indices, frozen)
    file = io.BytesIO()
    torch.jit.save(script(network), file)
    file.seek(0)
    scripted = torch.jit.load(file)
    with torch.inference_mode():
        for size in (64, 97):  # the second run is the optimised one
            images = noise(2, 3, size, 64, seed=size)
            assert_equal(scripted(images), network(images))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_torchscript_trains_the_same_and_keeps_what_is_frozen(checkpointing: bool) -> None:
    network = make("paper_bn", (1, 4), frozen=2).train()
    network.set_grad_checkpointing(checkpointing)
    scripted = script(copy.deepcopy(network))
    for each in (network, scripted):
        for seed in range(2):
            sum(found.square().mean() for found in each(noise(2, 3, 64, 64, seed=seed))).backward()
    wanted = dict(network.named_parameters())
    for name, parameter in scripted.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, msg=name)
    torch.testing.assert_close(dict(scripted.named_buffers()), dict(network.named_buffers()))
    assert network.get_buffer("backbone.conv1.norm.num_batches_tracked") == 0
    assert network.get_buffer("backbone.inception.3a.conv1.norm.num_batches_tracked") == 2


def test_compiled_training_computes_maps_twice_where_it_is_told_to() -> None:
    network = make("paper_bn", (1,), frozen=1).train()
    compiled = copy.deepcopy(network)
    compiled.set_grad_checkpointing()
    images = noise(2, 3, 64, 64)
    for each in (network, torch.compile(compiled, fullgraph=True, backend="aot_eager")):
        each(images)[0].square().mean().backward()
    wanted = dict(network.named_parameters())
    for name, parameter in compiled.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, msg=name)
    torch.testing.assert_close(dict(compiled.named_buffers()), dict(network.named_buffers()))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_traced_graph_computes_the_same_maps_in_any_number_format(variant: Variant) -> None:
    network = make(variant)
    graph = fx.symbolic_trace(network)
    images = noise(2, 3, 64, 80)
    with torch.inference_mode():
        assert_equal(graph(images), network(images))
        assert_equal(graph.double()(images.double()), copy.deepcopy(network).double()(images.double()))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_traced_graph_holds_no_tensors_but_the_network_s(variant: Variant) -> None:
    network = make(variant)
    assert fx.symbolic_trace(network).state_dict().keys() == network.state_dict().keys()


def quantised(network: GoogLeNetFeatures, images: Tensor) -> fx.GraphModule:
    """The graph in integers after torch.ao's usual steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about its own packages
        prepared = prepare_fx(copy.deepcopy(network), get_default_qconfig_mapping("x86"), (images,))
        with torch.inference_mode():
            for part in images.split(2):
                prepared(part)
        return convert_fx(prepared)


def test_the_paper_s_network_is_quantised_by_torch_ao() -> None:
    network, images = make("paper"), noise(8, 3, 64, 64)
    graph = quantised(network, images)
    kinds = Counter(type(module).__name__ for module in graph.modules())
    assert (kinds["ConvReLU2d"], kinds["Conv2d"]) == (CONVOLUTIONS, 0)
    with torch.inference_mode():
        for found, wanted in zip(graph(images), network(images), strict=True):
            assert 0 < float((found - wanted).norm() / wanted.norm()) < 0.1


class Types(fx.Interpreter):
    """Runs a graph and notes the number format that each of the network's own steps puts out."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: list[tuple[str, torch.dtype]] = []

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if n.target in (local_response_norm, renormalise):
            assert isinstance(result, Tensor)
            self.found.append((n.target.__name__, result.dtype))
        return result


def test_the_normalisation_of_the_input_and_that_of_responses_stay_in_floats() -> None:
    types = Types(quantised(make("paper"), noise(2, 3, 64, 64)))
    with torch.inference_mode():
        types.run(noise(1, 3, 64, 64))
    names = ("renormalise", "local_response_norm", "local_response_norm")
    assert types.found == [(name, torch.float32) for name in names]


@pytest.mark.parametrize("variant", ["paper_bn", "torchvision"])
def test_batch_normalisation_goes_into_the_integers_weights(variant: Variant) -> None:
    network = make(variant, (1,))
    graph = quantised(network, noise(2, 3, 64, 64))
    assert not batch_norms(graph)
    with torch.inference_mode():
        (found,), (wanted,) = graph(noise(2, 3, 64, 64)), network(noise(2, 3, 64, 64))
    assert 0 < float((found - wanted).norm() / wanted.norm()) < 0.1
