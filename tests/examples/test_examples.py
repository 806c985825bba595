from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from bvlc_like import write_bvlc_like
from trees import write_image

from detector.commands import make_synthetic

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_faster_rcnn_trains_on_synthetic_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_synthetic.main([str(tmp_path), "--images", "4", "--classes", "2", "--mean-width", "64"])
    words = ["--data", str(tmp_path), "--format", "ilsvrc", "--classes", "synsets.csv"]
    words += ["--steps", "3", "--batch", "1", "--size", "64"]
    losses = load("train_torchvision_faster_rcnn").main(words)
    assert np.isfinite(losses).all()
    assert len(capsys.readouterr().out.splitlines()) == len(losses) == 3


@pytest.mark.shared
def test_faster_rcnn_learns_from_photographs(shared: Path) -> None:
    words = ["--data", str(shared / "data" / "fruit"), "--weights", str(shared / "weights" / "bvlc_googlenet.npz")]
    words += ["--steps", "24", "--size", "128", "--rate", "0.01"]
    losses = load("train_torchvision_faster_rcnn").main(words)
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])


def test_timm_s_features_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("timm")
    words = [str(write_image(tmp_path / "a.jpg")), "--weights", str(write_bvlc_like(tmp_path / "w.npz"))]
    maps = load("timm_features").main([*words, "--maps", "2", "4"])
    assert [tuple(map_.shape) for map_ in maps] == [(1, 480, 28, 28), (1, 1024, 7, 7)]
    assert capsys.readouterr().out.startswith("backbone.inception.3b: stride 8, 480 x 28 x 28, mean ")
