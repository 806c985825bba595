"""The number format that is chosen for a processor."""

import pytest
import torch

from detector.networks import device
from detector.networks.device import choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "vendor", "wanted"),
    [
        (True, True, "GenuineIntel", torch.bfloat16),
        (False, True, "GenuineIntel", torch.float32),
        (False, True, "AuthenticAMD", torch.bfloat16),
        (False, False, "AuthenticAMD", torch.float32),
        (False, False, "", torch.float32),
    ],
)
def test_auto_is_bf16_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool, vendor: str, wanted: torch.dtype
) -> None:
    can = {"_is_amx_tile_supported": amx, "_is_avx512_bf16_supported": avx512_bf16}
    monkeypatch.setattr(device, "_supports", can.__getitem__)
    monkeypatch.setattr(device, "_cpu_vendor", lambda: vendor)
    assert choose_precision("auto", CPU) == wanted
    assert choose_precision("bf16", CPU) == torch.bfloat16  # who asks for it gets it


def test_a_processor_names_its_maker_or_none() -> None:
    vendor = device._cpu_vendor()
    assert "\n" not in vendor and vendor == vendor.strip()
