"""Where the network runs and in which number format."""

import platform
from pathlib import Path

import torch

from detector.errors import ConfigError

INTEL = "GenuineIntel"
CPU_PIXELS = 1 << 19  # of a batch: 10 crops of 224 pixels, 128 of 64
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the GPU where there is one. ConfigError where it is missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"engine.device must be auto, cpu or a device of this machine, got {name} ({reason})"
        ) from None
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The number format called `name`; "auto" is bf16 where the hardware computes it faster than fp32, else that.

    Of "int8" it is that of what is not computed in integers, as for "auto".
    """
    if name in PRECISIONS:
        return PRECISIONS[name]
    if device.type == "cuda":
        is_fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        is_fast = device.type == "cpu" and _cpu_has_fast_bf16()
    return torch.bfloat16 if is_fast else torch.float32


def choose_batch_size(size: int, device: torch.device, crop_size: int) -> int:
    """`size`, or for 0 what is fast: batches that stay in a CPU's caches, or that fill a GPU."""
    if size:
        return size
    return max(8, CPU_PIXELS // crop_size**2) if device.type == "cpu" else 512


def _cpu_has_fast_bf16() -> bool:
    """Whether bf16 has matrix units (AMX), or as many products a cycle as fp32 (AMD's AVX-512).

    Intel's AVX-512 does half as many of them a cycle (uops.info, VDPBF16PS beside VFMADD231PS on 512 bits): so
    nothing is won, and what it costs to convert is lost.
    """
    if _supports("_is_amx_tile_supported"):
        return True
    return _supports("_is_avx512_bf16_supported") and _cpu_vendor() != INTEL


def _supports(probe: str) -> bool:
    """What torch says of the processor; False where it cannot say."""
    return bool(getattr(torch.cpu, probe, bool)())


def _cpu_vendor() -> str:
    """What the processor calls its maker, "" where it is not known."""
    return cpu_fact("vendor_id") or (INTEL if INTEL in platform.processor() else "")


def cpu_fact(name: str) -> str:
    """What Linux says of the first processor under `name`, such as its "model name"; "" where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    facts = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in facts if key.strip() == name), "")
