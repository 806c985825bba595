from typing import Any

import numpy as np
import pytest
import torch
from random_networks import photograph

from detector.errors import ConfigError
from detector.networks.preprocessing import BVLC, IMAGENET, TORCHVISION, Preprocessing, normalise, shown_crops

VALUES = {"channel_order": "RGB", "mean": [1, 2.5, 3], "scale": [1, 1, 0.5]}


@pytest.mark.parametrize("preprocessing", [BVLC, IMAGENET, TORCHVISION])
def test_what_is_written_is_read_back(preprocessing: Preprocessing) -> None:
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing


@pytest.mark.parametrize("preprocessing", [BVLC, IMAGENET, TORCHVISION])
def test_what_the_network_is_given_can_be_shown(preprocessing: Preprocessing) -> None:
    images = photograph(2, 5, 6, 3)
    assert torch.equal(shown_crops(normalise(images, preprocessing), preprocessing), images)
    nothing = torch.zeros(1, 3, 1, 1)  # what lies outside of an image
    mean = preprocessing.mean if preprocessing.channel_order == "RGB" else preprocessing.mean[::-1]
    assert shown_crops(nothing, preprocessing).flatten().tolist() == [round(value) for value in mean]


def test_whole_numbers_and_numpy_s_are_numbers() -> None:
    found = Preprocessing("RGB", (0, 255, 1), np.array([1, 2, 3], np.float32))  # type: ignore[arg-type]
    assert found == Preprocessing("RGB", (0.0, 255.0, 1.0), (1.0, 2.0, 3.0))
    assert found.to_dict() == {"channel_order": "RGB", "mean": [0.0, 255.0, 1.0], "scale": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("channel_order", "XYZ", "channel_order must be RGB or BGR, got 'XYZ'"),
        ("channel_order", ["RGB"], r"channel_order must be RGB or BGR, got \['RGB'\]"),
        ("mean", [1.0, 2.0], r"mean must be three numbers in -1e\+06\.\.1e\+06, got \[1\.0, 2\.0\]"),
        ("mean", "123", r"mean must be three numbers .*, got '123'"),
        ("mean", [1, 2, True], r"mean must be three numbers .*, got \[1, 2, True\]"),
        ("mean", [1, 2, float("nan")], r"mean must be three numbers .*, got \[1, 2, nan\]"),
        ("mean", 5, r"mean must be three numbers .*, got 5"),
        ("scale", [1, 1, 0], r"scale must be three numbers in 1e-06\.\.1e\+06, got \[1, 1, 0\]"),
        ("scale", [1, 1, -1], r"scale must be three numbers .*, got \[1, 1, -1\]"),
        ("scale", [1, 1, 10**400], r"scale must be three numbers in 1e-06"),
        ("scale", None, r"scale must be three numbers .*, got None"),
    ],
)
def test_what_is_no_preprocessing_is_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        Preprocessing.from_dict(VALUES | {field: value})
