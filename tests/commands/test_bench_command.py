import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from made_runs import write_run
from trees import write_image

from detector import commands
from detector.bench import result
from detector.bench.peers import peer_candidates
from detector.bench.rounds import Candidate, RoundOutcome
from detector.bench.workload import Workload
from detector.config import Config, RegionSettings
from detector.inference.detector import ObjectDetector
from detector.jobs.trained_detector import detector_of_run
from detector.runs.folder import RunFolder

SMALL = ["region.crop_size=48", "region.padding=4", "network.variant=tiny", "proposals.width=100"]
ENGINE = ["engine.device=cpu", "engine.backend=torch", "engine.precision=fp32", "engine.compile=false"]
BRIEF = ["--count", "2", "--regions", "3", "--seconds", "0.05", "--rounds", "2"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_image(tmp_path / "photos" / f"{name}.png", 60, 90)
    return tmp_path / "photos"


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates are measured here, one after another: processes of their own have a test of their own."""

    def run(candidates: Sequence[Candidate], seconds: float, rounds: int, label: str) -> list[RoundOutcome]:
        found = []
        for candidate in candidates:
            measure = candidate.open()
            found.append(RoundOutcome(candidate.name, tuple(measure(seconds) for _ in range(rounds)), 1.0))
        return found

    monkeypatch.setattr(result, "run_rounds", run)
    monkeypatch.setattr("detector.bench.engines.SIDE", {"cpu": 64})


def positive(spread: dict[str, float]) -> bool:
    return 0 < spread["low"] <= spread["median"] <= spread["high"]


def run_bench(out: Path, *words: str, variant: str = "tiny") -> dict[str, Any]:
    settings = [*SMALL, *ENGINE, f"network.variant={variant}"]
    assert commands.main(["bench", *BRIEF, "--out", str(out), *words, *settings]) == 0
    tree: dict[str, Any] = json.loads((out / "bench.json").read_text())
    return tree


def test_stages_and_engines_are_measured_on_the_user_s_images(
    in_this_process: None, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    tree = run_bench(out, "--images", str(photos))
    stages, engines = tree["stages"], tree["engines"]
    assert all(positive(each) for each in stages["milliseconds"].values())
    assert all(positive(stages[name]) for name in ("regions", "images", "forward"))
    assert stages["achieved"] > 0
    assert [row["name"] for row in engines["rows"]] == ["torch fp32, one crop at a time", "torch fp32"]
    assert all(positive(row["regions"]) and row["of_peak"] > 0 for row in engines["rows"])
    assert positive(engines["peaks"]["fp32"])
    assert tree["peers"] is None
    assert tree["notes"]["Input"].startswith(f"2 images of {photos}, 90x60 on average, 3 regions each; tiny")
    assert capsys.readouterr().out == (out / "table.md").read_text()


def test_peers_run_on_synthetic_scenes_too(
    in_this_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detector.bench.peers.SHORTER_SIDE", 64)
    tree = run_bench(tmp_path / "out", "--only", "peer", "--count", "1")
    assert tree["notes"]["Input"].startswith("1 synthetic scenes")
    assert (tree["stages"], tree["engines"]) == (None, None)
    assert len(tree["peers"]) == 3
    assert all(positive(row["images"]) for row in tree["peers"])


def test_googlenet_runs_in_torchvision_s_detector_too(
    in_this_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detector.bench.peers.SHORTER_SIDE", 64)
    tree = run_bench(tmp_path / "out", "--only", "peer", "--count", "1", variant="paper_bn")
    names = [row["name"] for row in tree["peers"]]
    assert len(names) == 4
    assert names[1].startswith("torchvision's Faster R-CNN")
    assert all(positive(row["images"]) for row in tree["peers"])


def test_regions_of_a_shared_map_are_measured_too(in_this_process: None, photos: Path, tmp_path: Path) -> None:
    words = ["region.mode=shared", "region.shared_side=64", "--images", str(photos), "--only", "stages"]
    stages = run_bench(tmp_path / "out", *words)["stages"]
    assert stages["mode"] == "shared"
    assert "layers behind the maps" in (tmp_path / "out" / "table.md").read_text()
    assert positive(stages["forward"])


def test_a_run_is_measured_with_its_own_crops(in_this_process: None, photos: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    words = ["--weights", str(run.path), "--images", str(photos), "--only", "stages", "--out", str(tmp_path / "o")]
    assert commands.main(["bench", *BRIEF, *words, *ENGINE]) == 0
    tree = json.loads((tmp_path / "o" / "bench.json").read_text())
    assert tree["settings"]["region"]["crop_size"] == 32
    assert tree["settings"]["network"]["variant"] == "tiny"
    assert "region_classifier.safetensors, 3 outputs" in tree["notes"]["Input"]


def test_a_run_is_measured_beside_the_peers_with_all_that_it_has(
    in_this_process: None, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, ...]] = []

    def noted(run: RunFolder, words: Sequence[str]) -> ObjectDetector:
        opened.append(tuple(words))
        return detector_of_run(run, words)

    monkeypatch.setattr("detector.bench.peers.detector_of_run", noted)
    run = write_run(tmp_path / "run", "boxes.enabled=true")
    words = ["--weights", str(run.path), "--images", str(photos), "--only", "peer", "--out", str(tmp_path / "o")]
    assert commands.main(["bench", *BRIEF, *words, *ENGINE, "detect.voting_iou=0.5"]) == 0
    last = json.loads((tmp_path / "o" / "bench.json").read_text())["peers"][-1]
    assert last["name"] == "ours, the run with all that it has, from pixels to detections"
    assert positive(last["images"])
    assert opened == [(*ENGINE, "detect.voting_iou=0.5")]


def test_the_peer_sees_images_of_its_own_size_and_of_ours() -> None:
    shared = RegionSettings(mode="shared", shared_side=400, shared_longest=600)
    workload = Workload(Config(name="bench", region=shared), "", (), (), ())
    names = [each.name for each in peer_candidates(workload)]
    assert [name[-10:] for name in names if "Faster" in name] == ["800 pixels", "400 pixels"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "gone"], "--images must be a folder, got gone"),
        (["--images", "EMPTY"], "folder must hold images"),
        (["--weights", "gone.npz"], "weights must be a readable file, got gone.npz"),
        (["engine.backed=torch"], "did you mean engine.backend?"),
        (["proposals.source=given", "proposals.given=x.npz"], "proposals.source must be selective_search"),
        (["--images", "PHOTOS", "engine.device=cuda:77"], "engine.device must be auto, cpu or a device"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    words: list[str], message: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"EMPTY": str(tmp_path / "empty"), "PHOTOS": str(photos)}
    words = [places.get(word, word) for word in words]
    assert commands.main(["bench", *BRIEF, "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--seconds", "0"], ["--seconds", "x"], ["--rounds", "0"], ["--only", "all"]])
def test_wrong_numbers_are_told_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        commands.main(["bench", *words])
    assert caught.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_an_interrupted_benchmark_leaves_no_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(result, "run_rounds", interrupt)
    words = ["--images", str(photos), "--out", str(tmp_path / "out"), *SMALL, *ENGINE]
    assert commands.main(["bench", *BRIEF, *words]) == 130
    assert not (tmp_path / "out").exists()
