"""The command that fuses files of detections, on a tiny synthetic set."""

import json
from pathlib import Path

import numpy as np
import pytest

from detector import commands
from detector.config import Config, load_config
from detector.data.dataset import Dataset
from detector.data.exchange.coco_results import write_coco_results
from detector.data.exchange.found_detections import read_detections
from detector.data.exchange.submission import write_submission
from detector.data.readers import open_dataset
from detector.records import DetectionTable
from detector.synthetic.detection_set import make_dataset

CONFIG = """
data: {{root: {root}, train: train, test: val, classes: synsets.csv, blacklist: det_validation_blacklist.txt}}
evaluate: {{pictures: 1}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fuse")
    make_dataset(root / "tree", images=2, classes=2, seed=2, val=8, mean_width=96)
    path = root / "tiny.yaml"
    path.write_text(CONFIG.format(root=root / "tree"))
    return path


@pytest.fixture(scope="module")
def dataset(config: Path) -> Dataset:
    return open_dataset(load_config(Config, config).data, ("val",))


def noisy(dataset: Dataset, seed: int) -> DetectionTable:
    """Most objects, not quite where they are, and as many false alarms with lower scores."""
    random = np.random.default_rng(seed)
    objects = dataset.objects
    seen = np.flatnonzero(random.random(len(objects.labels)) < 0.7)
    boxes = objects.boxes[seen] + random.normal(0, 1.5, (len(seen), 4))
    corner = random.uniform(0, 60, (len(seen), 2))
    return DetectionTable(
        np.concatenate([objects.image[seen], random.integers(0, len(dataset), len(seen))]),
        np.concatenate([boxes, np.concatenate([corner, corner + 20], axis=1)]),
        np.concatenate([objects.labels[seen], random.integers(1, 3, len(seen))]),
        np.concatenate([random.uniform(0.5, 1, len(seen)), random.uniform(0, 0.6, len(seen))]),
    )


@pytest.fixture(scope="module")
def files(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results of one system and a submission of another."""
    folder = tmp_path_factory.mktemp("found")
    write_coco_results(folder / "a.json", noisy(dataset, 1), dataset)
    write_submission(folder / "b.txt", noisy(dataset, 2), dataset.indices)
    return folder / "a.json", folder / "b.txt"


def run(*words: object) -> int:
    return commands.main(["fuse", *map(str, words)])


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "report" / "metrics.json").read_text())


def test_two_systems_are_fused_written_and_judged(
    config: Path, dataset: Dataset, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--split", "val", "--out", tmp_path, "--weights", 2, 1, "--iou", 0.5)
    assert run(config, *files, *words) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "submission.txt", "report"}
    results, lines = (read_detections(tmp_path / name, dataset) for name in ("results.json", "submission.txt"))
    np.testing.assert_allclose(results.boxes, lines.boxes)
    assert results.scores.tolist() == lines.scores.tolist()
    assert 0 < len(results.scores) < sum(len(read_detections(path, dataset).scores) for path in files)
    found = metrics(tmp_path)
    assert list(found["methods"]) == [*map(str, files), "fused"]  # type: ignore[call-overload]
    assert found["mean_ap"] == found["methods"]["fused"]["mean_ap"]  # type: ignore[index]
    printed = capsys.readouterr().out
    assert printed.startswith(f"{len(results.scores)} detections: {tmp_path}\n")
    assert f"report: {tmp_path}/report/index.html" in printed
    assert (tmp_path / "report" / "index.html").is_file()


def test_a_file_fused_with_itself_ranks_as_the_file(
    config: Path, dataset: Dataset, files: tuple[Path, Path], tmp_path: Path
) -> None:
    given = read_detections(files[0], dataset)
    assert run(config, files[0], files[0], "--iou", 0.95, "--out", tmp_path, "--weights", 3, 3) == 0
    fused = read_detections(tmp_path / "results.json", dataset)
    assert sorted(fused.scores) == pytest.approx(sorted(given.scores), rel=1e-6)
    order = [table.image[np.argsort(-table.scores, kind="stable")].tolist() for table in (fused, given)]
    assert order[0] == order[1]
    methods = metrics(tmp_path)["methods"]
    assert list(methods) == [str(files[0]), f"{files[0]} (2)", "fused"]  # type: ignore[call-overload]
    aps = {method["mean_ap"] for method in methods.values()}  # type: ignore[attr-defined]
    assert len(aps) == 1


def test_a_split_without_objects_has_no_report(
    config: Path, dataset: Dataset, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = load_config(Config, config).data.root / "ImageSets" / "DET"
    bare = [k for k in range(len(dataset)) if k not in set(dataset.objects.image.tolist())]
    assert bare
    (lists / "bare.txt").write_text("".join(f"{dataset.image_ids[k]} {k + 1}\n" for k in bare))
    (tmp_path / "none.txt").write_text("")
    assert run(config, tmp_path / "none.txt", "--split", "bare", "--out", tmp_path / "out") == 0
    assert "no objects to evaluate against" in capsys.readouterr().out
    assert not (tmp_path / "out" / "report").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{a}", "{b}", "--weights", "1"], "--weights must be one for each of 2 files, got 1"),
        (["{a}", "{out}/none.json"], "results must be a readable file, got {out}/none.json"),
        (["{out}/svm.txt"], "scores must be at least 0 to be fused, got -1 (of an SVM?) ({out}/svm.txt)"),
        (["{a}", "--split", "nowhere"], "split must"),
        (["{a}", "--set", "data.rooot=x"], "unknown setting data.rooot"),
    ],
)
def test_the_user_s_mistakes_are_one_line_and_leave_nothing(
    config: Path,
    files: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    (tmp_path / "svm.txt").write_text("1 1 -1 0 0 9 9\n")
    names = {"a": files[0], "b": files[1], "out": tmp_path}
    assert run(config, *(word.format(**names) for word in words), "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"fuse: {message.format(**names)}")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [["--weights", "0"], ["--weights", "many"], ["--iou", "1.5"], ["--min-score", "-1"]]
)
def test_a_number_out_of_range_is_a_usage_error(
    words: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(config, "a.json", "--out", "x", *words)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"fuse: {words[0]} must be a number ")
