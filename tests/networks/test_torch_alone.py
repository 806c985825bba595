"""The backbone in an installation that has torch, and nothing else that the project uses."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import torch
from bvlc_like import random_network, write_our_own, write_torchvision_like

from detector.networks.preprocessing import IMAGENET, TORCHVISION

ROOT = Path(__file__).parents[2]
# Refuses what is neither Python's own nor torch's, then uses the backbone in every way that needs no more.
PROGRAM = """
import sys
from pathlib import Path

folder, allowed = Path(sys.argv[1]), {"detector", *sys.argv[2].split(), *sys.stdlib_module_names}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())

import torch
from detector.networks.features import GoogLeNetFeatures
from detector.networks.weight_files.weights import load_model, read_weights

for variant in ("paper", "paper_bn", "torchvision"):
    network = GoogLeNetFeatures(variant, frozen_stages=1, norm_eval=True).train()
    sum(each.mean() for each in network(torch.randn(1, 3, 40, 40))).backward()
    torch.save(network.state_dict(), folder / "state.pth")
    network.load_state_dict(torch.load(folder / "state.pth", weights_only=True))
network = GoogLeNetFeatures("torchvision", folder / "torchvision.pth", (4,)).eval()
with torch.inference_mode():
    torch.save(network(torch.load(folder / "images.pth"))[0], folder / "map.pth")
load_model(folder / "torchvision.pth")
try:
    read_weights(folder / "ours.safetensors")
except Exception as error:
    print(type(error).__name__, error)
"""


def names_of_torch() -> set[str]:
    """The top-level packages of torch and of all that it requires."""
    needed, left = set(), ["torch"]
    while left:
        name = left.pop()
        if name not in needed:
            needed.add(name)
            plain = [each for each in _requirements(name) if "extra ==" not in each]
            left += [_canonical(re.split(r"[^\w.-]", each)[0]) for each in plain]
    owners = packages_distributions()
    return {name for name, found in owners.items() if needed & {_canonical(each) for each in found}}


def _requirements(name: str) -> list[str]:
    try:
        return requires(name) or []
    except ImportError:  # a requirement of another system
        return []


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_the_backbone_is_made_trained_and_loaded_where_only_torch_is_installed(tmp_path: Path) -> None:
    write_torchvision_like(tmp_path / "torchvision.pth")
    write_our_own(tmp_path / "ours.safetensors", "paper", IMAGENET)
    images = torch.randn(1, 3, 64, 64)
    torch.save(images, tmp_path / "images.pth")
    words = [sys.executable, "-c", PROGRAM, str(tmp_path), " ".join(names_of_torch())]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "ConfigError .safetensors files must have the package safetensors, got 'No module named 'safetensors'';"
        " repair: pip install safetensors\n"
    )
    found = torch.load(tmp_path / "map.pth")
    mean, scale = torch.tensor(IMAGENET.mean), torch.tensor(IMAGENET.scale)
    pixels = images * scale[:, None, None] + mean[:, None, None]
    with torch.inference_mode():
        wanted = random_network("torchvision").backbone((pixels - TORCHVISION.mean[0]) / TORCHVISION.scale[0])
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        ("detector.networks.features", {"torch"}),
        ("detector.networks.weight_files.weights", {"torch"}),
        ("detector.networks.adapters.torchvision_backbones", {"torch", "torchvision"}),
        ("detector.networks.adapters.timm_models", {"torch", "timm"}),
        ("detector.networks.adapters.mmdet_backbone", {"torch", "mmengine"}),
        ("detector.networks.adapters.detectron2_backbone", {"torch", "detectron2"}),
    ],
)
def test_a_module_loads_only_what_it_is_for(module: str, wanted: set[str]) -> None:
    names = {name.partition(".")[0] for name in loaded_with(module, set())}
    assert names - set(sys.stdlib_module_names) - {"detector"} == wanted


def loaded_with(module: str, seen: set[str]) -> Iterator[str]:
    """The names of all modules that are imported when `module` is, through the project's own modules."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if module in seen:
        return
    seen.add(module)
    for name in imported_at_once(ast.parse(path.read_text(encoding="utf-8"))):
        yield name
        parts = name.split(".")
        if parts[0] == "detector":
            for length in range(1, len(parts) + 1):
                yield from loaded_with(".".join(parts[:length]), seen)


def imported_at_once(node: ast.AST) -> Iterator[str]:
    """What is imported at the top of a module, not within functions nor for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import():
                yield from (alias.name for alias in child.names)
            case ast.ImportFrom():
                yield child.module or ""
            case ast.FunctionDef() | ast.If(test=ast.Name("TYPE_CHECKING")):
                pass
            case _:
                yield from imported_at_once(child)
