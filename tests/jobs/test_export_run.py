from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_runs import CLASSES, write_run

from detector import load_detector
from detector.config import Config
from detector.errors import ConfigError, DataError
from detector.jobs import export
from detector.jobs.export import export_run
from detector.jobs.model_card import model_card
from detector.jobs.outcome import Outcome
from detector.networks.backbones import make_backbone
from detector.networks.multibox import MultiBox
from detector.networks.preprocessing import IMAGENET
from detector.networks.weight_files.multibox_weights import save_multibox
from detector.runs.folder import RunFolder


def test_an_exported_folder_detects_as_the_run(tmp_path: Path) -> None:
    words = ["svm.enabled=true", "boxes.enabled=true"]
    run = write_run(tmp_path / "run", *words)
    files = export_run(run, tmp_path / "out", safetensors=True, onnx=False)
    assert [path.relative_to(tmp_path / "out").as_posix() for path in files] == [
        "model/region_classifier.safetensors",
        "model/svm.safetensors",
        "model/boxes.safetensors",
        "config.yaml",
        "MODEL_CARD.md",
    ]
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    found = [load_detector(path).detect(image) for path in (run.path, tmp_path / "out")]
    np.testing.assert_array_equal(found[0].boxes, found[1].boxes)
    np.testing.assert_array_equal(found[0].scores, found[1].scores)


def test_multibox_weights_are_exported_with_what_needs_them(tmp_path: Path) -> None:
    network = MultiBox(make_backbone("paper_bn"), "learned", torch.rand(5, 4))
    save_multibox(tmp_path / "multibox.safetensors", network, IMAGENET)
    content = (tmp_path / "multibox.safetensors").read_bytes()
    words = ["proposals.source=union", f"proposals.multibox.weights={tmp_path / 'multibox.safetensors'}"]
    run = write_run(tmp_path / "run", *words)
    export_run(run, tmp_path / "out", safetensors=True, onnx=False)
    assert (tmp_path / "out" / "model" / "multibox.safetensors").read_bytes() == content
    (tmp_path / "multibox.safetensors").unlink()
    with pytest.raises(DataError, match="must hold a trained model"):
        export_run(run, tmp_path / "other", safetensors=True, onnx=False)
    assert not (tmp_path / "other").exists()
    # and of what is exported again, where its user's own weights are gone, the settings are still its user's
    export_run(RunFolder(tmp_path / "out"), tmp_path / "again", safetensors=True, onnx=False)
    configs = [(tmp_path / name / "config.yaml").read_text() for name in ("run", "out", "again")]
    assert configs[0] == configs[1] == configs[2]


@pytest.mark.parametrize("name", ["region_classifier", "svm", "boxes"])
def test_a_damaged_file_is_not_passed_on(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run", "svm.enabled=true", "boxes.enabled=true")
    path = run.path / "model" / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"must have the hash .*{name}\.safetensors"):
        export_run(run, tmp_path / "out", safetensors=True, onnx=False)
    assert not (tmp_path / "out").exists()


def test_settings_of_other_regions_than_the_network_s_are_not_passed_on(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.config_path.write_text(run.config_path.read_text().replace("crop_size: 32", "crop_size: 64", 1))
    with pytest.raises(ConfigError, match=r"region.crop_size must be what the network was trained on, 32, got 64"):
        export_run(run, tmp_path / "out", safetensors=True, onnx=False)


def test_the_network_is_exported_as_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def export_onnx(path: Path, *words: Any) -> None:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"graph")
        given.extend(words)

    monkeypatch.setattr(export, "export_onnx", export_onnx)  # which has tests of its own
    files = export_run(write_run(tmp_path / "run"), tmp_path / "out", safetensors=False, onnx=True)
    assert [path.name for path in files] == ["region_classifier.onnx", "config.yaml", "MODEL_CARD.md"]
    assert files[0].read_bytes() == b"graph"
    network, _, crop_size, classes = given
    assert network.classifier.out_features == len(CLASSES) + 1
    assert (crop_size, tuple(classes)) == (32, CLASSES)


def test_the_card_tells_the_run_s_data_and_results(
    finished_run: tuple[RunFolder, Outcome], tiny_config: Config
) -> None:
    run, outcome = finished_run
    card = model_card(run, tiny_config)
    assert outcome.report is not None
    assert f"| **reported** | {outcome.report.mean_ap:.4f} |" in card
    assert "trained on `train` (12 images), tested on `val` (4 images)" in card
    assert "Protocol: ILSVRC-DET" in card
    assert "non-commercial research" in card
    assert "- Start: random weights" in card
    for name in outcome.dataset.classes.names:
        assert f"| {name} |" in card


def test_the_card_of_a_run_without_report_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "network.weights=/somewhere/bvlc_googlenet.npz", "svm.enabled=true")
    card = model_card(run, run.read_config(Config, []))
    assert "This run was not evaluated." in card
    assert "weights they started from (bvlc_googlenet.npz)" in card
    assert "/somewhere" not in card
    assert "by linear SVMs" in card
    config = run.read_config(Config, ["network.weights=bvlc"])
    assert "- Start: bvlc_googlenet.caffemodel" in model_card(run, config)
    assert "Flickr" in card


def test_a_run_without_model_and_the_run_itself_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(DataError, match="--out must be another folder than the run"):
        export_run(run, run.path, safetensors=True, onnx=False)
    run.model_path.unlink()
    with pytest.raises(DataError, match=r"region_classifier\.safetensors"):
        export_run(run, tmp_path / "out", safetensors=True, onnx=False)


def test_the_card_says_how_regions_are_seen(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    plain = run.read_config(Config, [])
    assert "2 of them context on each side, by a softmax" in model_card(run, plain)
    region = plain.region.model_copy(update={"wide_padding": 8, "mode": "shared"})
    card = model_card(run, plain.model_copy(update={"region": region}))
    assert "context on each side, and once more with 8, pooled from maps of the whole image, by a softmax" in card
