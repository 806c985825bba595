"""The page for users of the backbone: every Python block of it runs."""

import ast
import re
from pathlib import Path

import pytest
from bvlc_like import write_bvlc_like
from scripting import forget_dead_functions
from stand_ins import import_adapter, library

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "backbone.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def library_of(block: str) -> str:
    """The library that need not be installed."""
    return next((name for name in ("timm", "detectron2", "mmdet") if name in block), "torchvision")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the weights that the page speaks of."""
    path = tmp_path_factory.mktemp("page")
    write_bvlc_like(path / "bvlc_googlenet.npz")
    return path


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of TorchScript
@pytest.mark.parametrize("block", BLOCKS, ids=library_of)
def test_a_block_of_the_page_runs(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    code = compile(block, str(PAGE), "exec")
    match library_of(block):
        case "detectron2":
            with library("detectron2"):
                exec(code, names)
        case "mmdet":
            exec(code, names)
            build_by_mmengine(names["model"])
        case name:
            pytest.importorskip(name)
            forget_dead_functions()
            exec(code, names)


def build_by_mmengine(model: object) -> None:
    assert isinstance(model, dict)
    with library("mmengine"):
        import_adapter("mmdet_backbone")
        from mmengine.registry import MODELS

        backbone = MODELS.build(model["backbone"])
        assert backbone.features.feature_info.channels() == model["neck"]["in_channels"]


def test_the_page_has_a_block_for_each_library() -> None:
    assert {library_of(block) for block in BLOCKS} == {"timm", "torchvision", "detectron2", "mmdet"}


def test_the_table_of_maps_is_right() -> None:
    from detector.networks.features import describe_maps

    rows = re.findall(r"^\| (\d) \| .* \| (\d+) \| (\d+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = [(str(d["index"]), str(d["num_chs"]), str(d["reduction"])) for d in describe_maps().info]
    assert rows == wanted


def test_nothing_but_the_benchmark_of_a_peer_imports_the_adapters() -> None:
    package = ROOT / "detector"
    for path in package.rglob("*.py"):
        if path.parent.name == "adapters" or path == package / "bench/peers.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in found if name.startswith("detector.networks.adapters")], path
