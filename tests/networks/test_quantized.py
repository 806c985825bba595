"""8-bit weights and maps."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_networks import googlenet_of, noise, randomise
from torch import Tensor, nn

from detector.errors import ConfigError, DataError
from detector.networks.backbones import make_backbone, tiny
from detector.networks.backbones.base import Variant
from detector.networks.quantized import (
    MapPeaks,
    RoundedWeight,
    load_ranges,
    measure_ranges,
    quantise,
    ranges_path,
    round_map,
    save_ranges,
)
from detector.networks.region_classifier import RegionClassifier

VARIANTS: tuple[Variant, ...] = ("paper", "paper_bn", "torchvision", "tiny")


def make_network(variant: Variant, crops: int = 1) -> RegionClassifier:
    network = RegionClassifier(make_backbone(variant), 5, crops=crops)
    randomise(network)
    return network.eval().requires_grad_(False)


def test_a_map_is_rounded_to_255_steps_of_its_range_and_cut_there() -> None:
    values = torch.tensor([-3.0, 0.0, 0.9, 1.1, 509.0, 510.0, 600.0])
    torch.testing.assert_close(round_map(values, 510.0), torch.tensor([0.0, 0.0, 0.0, 2.0, 508.0, 510.0, 510.0]))


def test_each_channel_of_weights_has_a_step_of_its_own() -> None:
    weight = torch.tensor([[127.0, 0.4, -63.6], [1.27, 0.004, -0.006], [0.0, 0.0, 0.0]])[:, :, None, None]
    wanted = torch.tensor([[127.0, 0.0, -64.0], [1.27, 0.0, -0.01], [0.0, 0.0, 0.0]])[:, :, None, None]
    torch.testing.assert_close(RoundedWeight(weight)(weight), wanted)


def test_a_range_is_the_largest_input_of_its_part() -> None:
    network, crops = make_network("paper"), noise(3, 3, 64, 64)
    ranges = measure_ranges(network, crops)
    trunk = googlenet_of(network)
    first = trunk.norm1(trunk.pool(trunk.conv1(crops)))
    assert tuple(ranges) == network.backbone.facts.rounded
    assert ranges["conv2_reduce"] == pytest.approx(first.max().item())
    maps = trunk.maps(crops, ("3a", "4e"))
    assert ranges["inception.3b"] == pytest.approx(maps["3a"].max().item())
    assert ranges["inception.5a"] == pytest.approx(trunk.last_pool(maps["4e"]).max().item())


def test_a_network_that_states_no_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tiny.FACTS, "tiny", replace(tiny.FACTS["tiny"], rounded=()))
    network = make_network("tiny")
    wanted = "^engine.precision must be auto, fp32, bf16 or fp16 for tiny, got int8$"
    for use in (MapPeaks, lambda network: quantise(network, {})):
        with pytest.raises(ConfigError, match=wanted):
            use(network)


def test_of_two_crops_of_a_region_the_larger_peak_counts() -> None:
    network, crops = make_network("paper", crops=2), noise(3, 6, 64, 64)
    peaks = MapPeaks(network)(crops)["peaks"]
    one = make_network("paper")
    one.backbone.load_state_dict(network.backbone.state_dict())
    tight, wide = (MapPeaks(one)(part)["peaks"] for part in crops.split(3, 1))
    torch.testing.assert_close(peaks, torch.maximum(tight, wide))


def test_of_what_begins_at_a_map_the_parts_behind_it_have_ranges() -> None:
    network, crops = make_network("paper"), noise(2, 3, 64, 64)
    maps = network.backbone.trunk(crops)
    whole, ranges = measure_ranges(network, crops), measure_ranges(network, maps)
    assert list(ranges) == [name for name in network.backbone.facts.rounded if name.startswith("inception.5")]
    assert all(ranges[name] == pytest.approx(whole[name]) for name in ranges)
    wanted = network.features(maps)
    quantise(network, ranges)
    assert 0 < relative(network.features(maps) - wanted, wanted) < 0.05


def test_measuring_leaves_the_network_as_it_is() -> None:
    network, crops = make_network("paper_bn"), noise(2, 3, 64, 64)
    before = network(crops)
    measure_ranges(network, crops)
    assert torch.equal(network(crops), before)
    assert not any(part._forward_pre_hooks for part in network.modules())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_quantised_network_answers_much_as_the_network(variant: Variant) -> None:
    network, crops = make_network(variant), noise(4, 3, 64, 64)
    wanted = network.features(crops)
    quantise(network, measure_ranges(network, crops))
    found = network.features(crops)
    assert 0 < relative(found - wanted, wanted) < 0.05


def test_batch_norm_of_many_processes_goes_into_the_weights_too() -> None:
    network, crops = make_network("paper_bn"), noise(2, 3, 64, 64)
    ranges = measure_ranges(network, crops)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network))
    for each in (network, converted):
        quantise(each, ranges)
    assert torch.equal(converted(crops), network(crops))


def test_what_is_read_by_a_convolution_and_its_weights_have_few_values() -> None:
    network, crops = make_network("paper"), noise(2, 3, 64, 64)
    quantise(network, measure_ranges(network, crops))
    seen: dict[str, Tensor] = {}
    conv = network.backbone.get_submodule("inception.4b.conv3.conv")
    conv.register_forward_pre_hook(lambda module, inputs: seen.update(x=inputs[0], weight=module.weight))
    network(crops)
    assert len(seen["x"].unique()) <= 256
    assert all(len(channel.unique()) <= 255 for channel in seen["weight"])


def test_ranges_are_kept_beside_the_weights(tmp_path: Path) -> None:
    network, weights = make_network("paper_bn"), tmp_path / "region_classifier.safetensors"
    assert load_ranges(weights, network) is None
    network.ranges = measure_ranges(network, noise(2, 3, 64, 64))
    assert save_ranges(weights, network) == tmp_path / "region_classifier.int8.json"
    assert load_ranges(weights, network) == network.ranges


def test_ranges_of_other_weights_do_not_count(tmp_path: Path) -> None:
    network, weights = make_network("paper_bn"), tmp_path / "region_classifier.safetensors"
    network.ranges = measure_ranges(network, noise(2, 3, 64, 64))
    save_ranges(weights, network)
    network.classifier.bias.add_(1)
    assert load_ranges(weights, network) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be valid JSON, got FILE (Expecting value"),
        ("[" * 100_000, "must be valid JSON, got FILE (it nests too deeply)"),
        ("[]", "must be an object of network and ranges, got [] (FILE)"),
        ('{"network": ""}', "must be an object of network and ranges, got {'network': ''} (FILE)"),
        ('{"ranges": [1]}', "must be an object of network and ranges, got {'ranges': [1]} (FILE)"),
        ('{"ranges": {"conv9": 1}}', "must be of parts of the network, got 'conv9' (FILE)"),
        *(
            (
                f'{{"ranges": {{"conv2": {value}}}}}',
                f"range of conv2 must be a number above 0 and at most 1e+30, got {got}",
            )
            for value, got in (
                ("null", "None (FILE)"),
                ("true", "True (FILE)"),
                ('"1"', "'1' (FILE)"),
                ("0", "0 (FILE)"),
                ("-1", "-1 (FILE)"),
                ("NaN", "nan (FILE)"),
                ("Infinity", "inf (FILE)"),
                ("1" + "0" * 400, "1000"),
            )
        ),
    ],
)
def test_a_damaged_file_of_ranges_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    weights = tmp_path / "region_classifier.safetensors"
    path = ranges_path(weights)
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        load_ranges(weights, make_network("paper_bn"))
    found = str(caught.value).replace(str(path), "FILE").removeprefix("ranges of maps ")
    assert found.startswith(message)


def relative(difference: Tensor, whole: Tensor) -> float:
    return (difference.norm() / whole.norm()).item()
