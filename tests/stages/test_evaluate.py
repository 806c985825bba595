import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from detector.config import Config
from detector.data.readers import open_dataset
from detector.jobs.outcome import Outcome
from detector.records import DetectionTable, take
from detector.reports.detection.analysis import Case, analyse
from detector.reports.detection.drawn_images import draw_pictures
from detector.reports.detection.report import TrainingLog
from detector.runs.folder import RunFolder
from detector.runs.split import Split
from detector.runs.store import PROPOSAL_FIELDS, StoreWriter
from detector.stages.evaluate import EvaluationTask, RunFacts, run_evaluate

NONE = DetectionTable(np.empty(0, np.int64), np.empty((0, 4)), np.empty(0, np.int64), np.empty(0))


def test_pictures_show_images_with_objects_only(tiny_config: Config) -> None:
    dataset = open_dataset(tiny_config.data, tiny_config.data.train)
    case = Case.of(dataset, NONE)
    analysis = analyse(case, case.evaluate("ilsvrc"), np.random.default_rng(0), resamples=2)
    groups = draw_pictures(dataset, Split(dataset, "train").read, tiny_config.evaluate.pictures, 0, analysis)
    assert list(groups) == ["Best", "Worst"]
    with_objects = {str(dataset.image_ids[i]) for i in np.unique(dataset.objects.image)}
    captions = [picture.caption for pictures in groups.values() for picture in pictures]
    assert len(captions) == tiny_config.evaluate.pictures
    assert {caption.split(":")[0] for caption in captions} <= with_objects
    assert all("0 false" in caption for caption in captions)


def test_an_image_that_cannot_be_read_any_more_costs_a_report_its_picture_alone(
    tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = open_dataset(tiny_config.data, tiny_config.data.train)
    case = Case.of(dataset, NONE)
    analysis = analyse(case, case.evaluate("ilsvrc"), np.random.default_rng(0), resamples=2)
    pictures = tiny_config.evaluate.pictures
    whole = sum(map(len, draw_pictures(dataset, Split(dataset, "train").read, pictures, 0, analysis).values()))
    gone = replace(
        dataset, paths=np.array([dataset.paths[0], *[str(tmp_path / "gone.JPEG")] * (len(dataset) - 1)])
    )
    left = sum(map(len, draw_pictures(gone, Split(gone, "train").read, pictures, 0, analysis).values()))
    assert left < whole
    notes = capsys.readouterr().err.splitlines()
    assert sum(note.startswith("not drawn: ") and "gone.JPEG" in note for note in notes) == whole - left


def test_a_split_without_objects_has_no_report(tiny_config: Config, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_config.data, tiny_config.data.test)
    bare = replace(dataset, objects=take(dataset.objects, np.empty(0, np.int64)))
    run = RunFolder(tmp_path)
    stage, folder = run.stage("evaluate"), tmp_path / "report"
    regions = StoreWriter(tmp_path / "regions", PROPOSAL_FIELDS, 0, "none").finish()
    facts = partial(RunFacts, "run", [], {}, {}, {}, "", {})
    tables = {"softmax": NONE}
    task = EvaluationTask(Split(bare, "val"), regions, "softmax", tiny_config.evaluate, 0)
    assert run_evaluate(stage, task, tables, facts, folder) is None
    assert not (tmp_path / "report").exists()


CURVE = TrainingLog("Fine-tuning", np.ones(1), {"loss": np.ones(1)}, np.empty(0), {})
FACTS = RunFacts("run", [CURVE], {"propose": 1}, {"Data": "val"}, {"Commit": "a"}, "seed: 0", {"softmax": "key"})


@pytest.mark.parametrize(
    ("facts", "is_made_again"),
    [
        (FACTS, False),
        (replace(FACTS, seconds={"propose": 2.0}, machine={"Commit": "b"}), False),
        (replace(FACTS, name="other"), True),
        (replace(FACTS, trainings=[replace(CURVE, columns={"loss": np.zeros(1)})]), True),
        (replace(FACTS, notes={"Data": "val; 2 images are trained on"}), True),
        (replace(FACTS, settings="seed: 1"), True),
        (replace(FACTS, detected={"softmax": "that of another model"}), True),
    ],
)
def test_a_report_of_the_same_detections_is_made_again_for_all_else_that_it_tells(
    facts: RunFacts, is_made_again: bool, tiny_config: Config, tmp_path: Path
) -> None:
    split = Split(open_dataset(tiny_config.data, tiny_config.data.test), "val")
    writer = StoreWriter(tmp_path / "regions", PROPOSAL_FIELDS, len(split), "none")
    boxes, scores = np.ones((1, 4), np.float32), np.ones(1, np.float32)
    for shard in writer.missing_shards():
        writer.write_shard(shard, [{"boxes": boxes, "scores": scores} for _ in shard])
    regions, run = writer.finish(), RunFolder(tmp_path / "run")
    settings = tiny_config.evaluate.model_copy(update={"pictures": 0, "resamples": 2})
    stage, tables, folder = run.stage("evaluate", "val"), {"softmax": NONE}, tmp_path / "report"
    task = EvaluationTask(split, regions, "softmax", settings, 0)
    run_evaluate(stage, task, tables, lambda: FACTS, folder)
    run_evaluate(stage, task, tables, lambda: facts, folder)
    made = [path for path in (run.path / "stages/evaluate").iterdir() if not path.is_symlink()]
    assert len(made) == 1 + is_made_again
    page = (folder / "report.md").read_text()
    assert f"Detection report: {facts.name}" in page
    assert all(text in page for text in (*facts.notes.values(), facts.settings))


def test_report_of_a_run_has_its_proposals_times_and_training(finished_run: tuple[RunFolder, Outcome]) -> None:
    run, outcome = finished_run
    metrics = json.loads((outcome.folder / "metrics.json").read_text())
    assert metrics["methods"] == {"softmax": {key: metrics[key] for key in ("mean_ap", "mean_ap_with_objects")}}
    assert metrics["proposals"][-1]["boxes_per_image"] <= 40
    assert list(metrics["seconds"])[-1] == "detect/val/softmax"
    page = (run.path / "report" / "index.html").read_text()
    for heading in ("Fine-tuning on regions", "Proposals", "Confusions", "Times", "crop_size: 32"):
        assert heading in page
